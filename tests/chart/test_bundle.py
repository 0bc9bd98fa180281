"""The bundle for the Operator Lifecycle Manager has all objects of an installation, in the form that it asks for."""

import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.dry_run import DryRunValidator
from chart.kinds import documents
from helmchart import programs
from helmchart.bundle import KINDS_BESIDE, SUPPORTED_KINDS, validate_bundle, write_bundle
from helmchart.cluster_service_version import cluster_service_version
from helmchart.kustomize import NAMESPACE
from helmchart.release_files import install_manifests
from localcluster import LocalCluster
from localcluster.errors import LocalClusterError
from localcluster.progress import PlainProgress
from statefulroute.api import rbac
from support.kubectl import Kubectl
from support.waiting import eventually

VERSION = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["version"]
IMAGE = f"registry.example/statefulroute:{VERSION}@sha256:{'a' * 64}"
IDS = {"runAsUser", "runAsGroup", "fsGroup"}
LEASE_RULE = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]}


@pytest.fixture(scope="module")
def destination(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the bundle and of what is beside it."""
    folder = tmp_path_factory.mktemp("destination")
    write_bundle(Path(__file__).parents[2], folder, IMAGE)
    return folder


@pytest.fixture(scope="module")
def manifests(destination: Path) -> list[dict[str, Any]]:
    """The objects of the bundle."""
    return [yaml.safe_load(file.read_text()) for file in sorted((destination / "bundle/manifests").iterdir())]


@pytest.fixture(scope="module")
def version(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """The ClusterServiceVersion."""
    (found,) = (item for item in manifests if item["kind"] == "ClusterServiceVersion")
    return found


@pytest.fixture(scope="module")
def installed(destination: Path) -> list[dict[str, Any]]:  # noqa: ARG001 - the same image
    """The objects of an installation without OLM."""
    return documents(install_manifests(Path(__file__).parents[2], VERSION, IMAGE))


@pytest.fixture(scope="module")
def validator() -> Path:
    """The program with OLM's validators."""
    try:
        return programs.bundle_validator(PlainProgress())
    except LocalClusterError as error:
        pytest.skip(f"OLM's validators cannot be built: {str(error).splitlines()[0]}")


def keys(items: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(item["kind"], item["metadata"]["name"]) for item in items}


def test_no_object_of_an_installation_is_missing(
    destination: Path, manifests: list[dict[str, Any]], installed: list[dict[str, Any]]
) -> None:
    beside = documents((destination / "beside-bundle.yaml").read_text())
    created_by_olm = {
        ("ClusterRole", "statefulroute-operator"),
        ("ClusterRoleBinding", "statefulroute-operator"),
        ("Deployment", "statefulroute-operator"),
        ("Role", "statefulroute-operator-lease"),
        ("RoleBinding", "statefulroute-operator-lease"),
        ("ServiceAccount", "statefulroute-operator"),
    }
    assert keys(manifests) | keys(beside) | created_by_olm == keys(installed) | {
        ("ClusterServiceVersion", f"statefulroute.v{VERSION}")
    }
    assert {item["kind"] for item in manifests} <= SUPPORTED_KINDS | {"ClusterServiceVersion"}
    assert {item["kind"] for item in beside} == KINDS_BESIDE


def test_operator_runs_as_without_olm_in_the_namespace_of_the_subscription(
    version: dict[str, Any], manifests: list[dict[str, Any]], installed: list[dict[str, Any]]
) -> None:
    (deployment,) = version["spec"]["install"]["spec"]["deployments"]
    (expected,) = (item["spec"] for item in installed if item["kind"] == "Deployment")
    (container,) = expected["template"]["spec"]["containers"]
    container["args"].remove(f"--lease-namespace={NAMESPACE}")
    for name in IDS:
        del expected["template"]["spec"]["securityContext"][name]
    assert deployment["spec"] == expected
    assert container["image"] == IMAGE == version["metadata"]["annotations"]["containerImage"]
    assert all("namespace" not in item["metadata"] for item in manifests)


def test_platform_may_assign_the_user_ids(version: dict[str, Any], root: Path) -> None:
    """OpenShift refuses pods that name ids of their own; without any, they run as the image's user, by its number."""
    (deployment,) = version["spec"]["install"]["spec"]["deployments"]
    pod = deployment["spec"]["template"]["spec"]
    contexts = [pod["securityContext"], *(each["securityContext"] for each in pod["containers"])]
    assert [context for context in contexts if IDS & context.keys()] == []
    assert contexts[0]["runAsNonRoot"] is True
    assert re.search(r"^USER [1-9]\d*:", (root / "Dockerfile").read_text(), re.MULTILINE)


def test_operator_has_the_rights_of_its_roles(version: dict[str, Any]) -> None:
    install = version["spec"]["install"]["spec"]
    (cluster,), (lease,) = install["clusterPermissions"], install["permissions"]
    account = install["deployments"][0]["spec"]["template"]["spec"]["serviceAccountName"]
    assert cluster["serviceAccountName"] == lease["serviceAccountName"] == account
    expected = rbac.operator_cluster_role()
    assert rights(cluster["rules"]) == rights(expected["rules"])
    assert LEASE_RULE in lease["rules"]


def rights(rules: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_metadata_and_image_of_the_bundle_name_the_same_package(destination: Path) -> None:
    bundle = destination / "bundle"
    annotations = yaml.safe_load((bundle / "metadata/annotations.yaml").read_text())["annotations"]
    dockerfile = (bundle / "bundle.Dockerfile").read_text().splitlines()
    assert annotations["operators.operatorframework.io.bundle.package.v1"] == "statefulroute"
    assert [line for line in dockerfile if line.startswith("LABEL")] == [
        f"LABEL {name}={value}" for name, value in annotations.items()
    ]
    copied = [line.split()[1] for line in dockerfile if line.startswith("COPY")]
    assert sorted(copied) == sorted(each.name for each in bundle.iterdir() if each.is_dir())


def test_validators_of_olm_have_no_errors_and_no_warnings(destination: Path, validator: Path) -> None:
    assert validate_bundle(destination / "bundle", validator) == []


def test_validators_of_olm_report_what_is_wrong(destination: Path, validator: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(destination / "bundle", tmp_path / "bundle")
    file = bundle / "manifests/statefulroute.clusterserviceversion.yaml"
    file.write_text(file.read_text().replace("image/svg+xml", "image/webp").replace("Networking", "Routing"))
    complaints = validate_bundle(bundle, validator)
    assert any("mediatype" in complaint for complaint in complaints)
    assert any("Routing" in complaint for complaint in complaints)
    assert "the validator failed" in validate_bundle(tmp_path / "none", validator)[0]


@pytest.fixture
def olm(admin: Kubectl) -> Iterator[None]:
    """The definition of ClusterServiceVersions in the cluster."""
    try:
        folder = programs.bundle_definitions(PlainProgress())
    except LocalClusterError as error:
        pytest.skip(f"OLM's definitions are not available: {str(error).splitlines()[0]}")
    file = folder / "operators.coreos.com_clusterserviceversions.yaml"
    admin.run("create", "-f", str(file)).expect_success()
    status = (
        "jsonpath={.status.conditions[?(@.type=='Established')].status}"  # `wait` fails if there is no condition yet
    )
    eventually(
        lambda: admin.run("get", "-f", str(file), "-o", status).stdout == "True", "OLM's definition is established"
    )
    yield
    admin.run("delete", "-f", str(file)).expect_success()


def test_api_server_accepts_all_objects(
    dedicated_cluster: LocalCluster,
    destination: Path,
    manifests: list[dict[str, Any]],
    olm: None,  # noqa: ARG001
) -> None:
    judge = DryRunValidator(dedicated_cluster.kubeconfig)
    beside = documents((destination / "beside-bundle.yaml").read_text())
    moved = [item | {"metadata": item["metadata"] | {"namespace": "default"}} for item in (*manifests, *beside)]
    assert [complaint for item in moved for complaint in judge.errors(item)] == []


def test_kind_that_olm_cannot_install_is_refused(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("helmchart.bundle.KINDS_BESIDE", KINDS_BESIDE - {"FlowSchema"})
    with pytest.raises(LocalClusterError, match="OLM cannot install FlowSchema statefulroute-operator"):
        write_bundle(root, tmp_path, IMAGE)


def test_installation_without_one_deployment_is_refused(installed: list[dict[str, Any]]) -> None:
    others = [item for item in installed if item["kind"] != "Deployment"]
    with pytest.raises(LocalClusterError, match="must have one Deployment, and the chart renders 0"):
        cluster_service_version(None, others)  # type: ignore[arg-type] # not used
