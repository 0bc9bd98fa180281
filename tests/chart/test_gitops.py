"""Tests the manifests for Argo CD and Flux, of which neither runs.

A real API server with their CRDs validates them, and the charts are rendered with their values.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from chart.kinds import documents
from chart.releases import ROOT, Helm
from localcluster import LocalClusterError
from localcluster.modules import download_modules
from localcluster.progress import PlainProgress
from support.kubectl import Kubectl, Object
from support.namespaces import fresh_namespace
from support.waiting import eventually

MANIFESTS = ROOT / "deploy/gitops"
NAMES = ("argo-cd.yaml", "flux.yaml", "flux-oci.yaml")

#: The CRDs of the kinds that the manifests use, by their module.
_CRDS = {
    "github.com/argoproj/argo-cd/v3": ("manifests/crds/application-crd.yaml",),
    "github.com/fluxcd/helm-controller": ("config/crd/bases/helm.toolkit.fluxcd.io_helmreleases.yaml",),
    "github.com/fluxcd/source-controller": (
        "config/crd/bases/source.toolkit.fluxcd.io_helmrepositories.yaml",
        "config/crd/bases/source.toolkit.fluxcd.io_ocirepositories.yaml",
    ),
}


@pytest.fixture(scope="module")
def kubectl(admin: Kubectl) -> Iterator[Kubectl]:
    """A kubectl in a namespace, while the CRDs of Argo CD and Flux are installed."""
    try:
        folders = download_modules(_CRDS, ROOT / "tools/gitops", PlainProgress())
    except LocalClusterError as error:
        pytest.skip(f"the CRDs of Argo CD and Flux are not available: {error}")
    files = [f"--filename={folders[module] / path}" for module, paths in _CRDS.items() for path in paths]
    admin.run("apply", "--server-side", *files).expect_success()
    admin.run("wait", "--for=condition=Established", "--timeout=60s", *files).expect_success()
    kinds = "applications,helmreleases,helmrepositories,ocirepositories"
    eventually(lambda: not admin.run("get", kinds, "--all-namespaces").code, "they can be listed")
    with fresh_namespace(admin) as namespace:
        yield admin.within(namespace)
    admin.run("delete", "--wait=false", *files).expect_success()


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((MANIFESTS / name).read_text(encoding="utf-8")))


def of_kind(name: str, kind: str) -> dict[str, dict[str, Any]]:
    """Returns the objects of a kind in a file, by their names."""
    return {item["metadata"]["name"]: item for item in manifests(name) if item["kind"] == kind}


def custom(name: str) -> list[dict[str, Any]]:
    """Returns the objects of Argo CD's and Flux's kinds in a file."""
    return [item for item in manifests(name) if item["kind"] != "Namespace"]


def errors(kubectl: Kubectl, item: Object) -> str:
    """Returns the errors and warnings of the API server for an object, in the namespace of the test."""
    placed = {**item, "metadata": {**item["metadata"], "namespace": kubectl.namespace}}
    return kubectl.run("apply", "--server-side", "--dry-run=server", "--filename=-", stdin=placed).stderr


@pytest.mark.parametrize("name", NAMES)
def test_manifest_is_valid_and_a_misspelt_field_is_not(kubectl: Kubectl, name: str) -> None:
    for item in custom(name):
        assert errors(kubectl, item) == ""
        for field in item["spec"]:
            misspelt = copy.deepcopy(item)
            misspelt["spec"][f"{field}X"] = misspelt["spec"].pop(field)
            assert f"{field}X" in errors(kubectl, misspelt)


def test_releases_of_flux_may_refer_to_the_charts_in_the_registry(kubectl: Kubectl) -> None:
    repositories, releases = of_kind("flux-oci.yaml", "OCIRepository"), of_kind("flux.yaml", "HelmRelease")
    assert repositories.keys() == releases.keys()
    for name, release in releases.items():
        assert repositories[name]["spec"]["url"].endswith(f"/{release['spec']['chart']['spec']['chart']}")
        spec = {key: value for key, value in release["spec"].items() if key != "chart"}
        referring = {**release, "spec": {**spec, "chartRef": {"kind": "OCIRepository", "name": name}}}
        assert errors(kubectl, referring) == ""


def test_every_manifest_is_tested() -> None:
    assert {each.name for each in MANIFESTS.iterdir()} == {*NAMES, "README.md"}


def releases() -> dict[str, tuple[str, str, str, dict[str, Any]]]:
    """Returns chart, release, namespace and values of each installation, by tool and name."""
    argo = {
        f"argo-cd/{name}": (
            item["spec"]["source"]["chart"],
            item["spec"]["source"]["helm"]["releaseName"],
            item["spec"]["destination"]["namespace"],
            item["spec"]["source"]["helm"].get("valuesObject", {}),
        )
        for name, item in of_kind("argo-cd.yaml", "Application").items()
    }
    flux = {
        f"flux/{name}": (
            item["spec"]["chart"]["spec"]["chart"],
            item["spec"]["releaseName"],
            item["metadata"]["namespace"],
            item["spec"].get("values", {}),
        )
        for name, item in of_kind("flux.yaml", "HelmRelease").items()
    }
    return argo | flux


def rendered(helm: Helm, installation: str) -> list[dict[str, Any]]:
    chart, release, namespace, values = releases()[installation]
    arguments = ("template", release, str(ROOT / "charts" / chart), "--namespace", namespace, "--values=-")
    return documents(helm.run(*arguments, stdin=json.dumps(values)).expect_success().stdout)


@pytest.mark.parametrize("tool", ["argo-cd", "flux"])
def test_first_release_has_the_definitions_and_the_second_one_the_rest(helm: Helm, tool: str) -> None:
    first = rendered(helm, f"{tool}/statefulroute-crds")
    second = rendered(helm, f"{tool}/statefulroute")
    assert {item["kind"] for item in first} == {"CustomResourceDefinition"}
    assert "CustomResourceDefinition" not in {item["kind"] for item in second}
    names = {(item["kind"], item["metadata"]["name"]) for item in second}
    assert {("Deployment", "statefulroute-operator"), ("Deployment", "statefulroute-resolver")} <= names


def test_both_tools_install_the_same() -> None:
    every = releases()
    for name in ("statefulroute-crds", "statefulroute"):
        assert every[f"argo-cd/{name}"] == every[f"flux/{name}"]


def test_number_of_resolvers_belongs_to_the_autoscaler(helm: Helm) -> None:
    items = {(item["kind"], item["metadata"]["name"]): item for item in rendered(helm, "argo-cd/statefulroute")}
    scaled = items["HorizontalPodAutoscaler", "statefulroute-resolver"]["spec"]["scaleTargetRef"]
    assert "replicas" not in items[scaled["kind"], scaled["name"]]["spec"]
    (ignored,) = of_kind("flux.yaml", "HelmRelease")["statefulroute"]["spec"]["driftDetection"]["ignore"]
    assert ignored == {"target": {key: scaled[key] for key in ("kind", "name")}, "paths": ["/spec/replicas"]}
