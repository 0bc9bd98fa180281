"""Validates the manifests for third-party gateways by a real API server with their CRDs.

They need clusters with nodes; tests/other_suites runs Envoy Gateway without one.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from localcluster.errors import LocalClusterError
from localcluster.progress import PlainProgress
from localgateways import custom_resources
from localgateways.configurations import CONFIGURATIONS
from support.kubectl import Kubectl
from support.waiting import eventually

MANIFESTS = ["service.yaml", "contour.yaml", "envoy-gateway.yaml", "istio.yaml", "kgateway.yaml"]


@pytest.fixture(scope="module")
def gateway_kubectl(installed: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """A kubectl while the CRDs of all gateways are installed."""
    try:
        definitions = custom_resources.gateway_crds(PlainProgress())
    except LocalClusterError as error:
        pytest.skip(f"the CRDs of the gateways are not available: {error}")
    folder = tmp_path_factory.mktemp("definitions")
    for definition in definitions:
        (folder / f"{definition['metadata']['name']}.yaml").write_text(yaml.safe_dump(definition))
    kubectl = installed
    kubectl.run("apply", "--server-side", "--filename", str(folder)).expect_success()
    kubectl.run("wait", "--for=condition=Established", "--timeout=60s", "--filename", str(folder)).expect_success()
    names = ",".join(definition["metadata"]["name"] for definition in definitions)
    eventually(lambda: not kubectl.run("get", names, "--all-namespaces").code, "they can be listed")
    for namespace in ("play", "statefulroute-system"):
        kubectl.run("create", "namespace", namespace).expect_success()
    yield kubectl
    for namespace in ("play", "statefulroute-system"):
        kubectl.run("delete", "namespace", namespace, "--wait=false").expect_success()
    kubectl.run("delete", "--wait=false", "--filename", str(folder)).expect_success()


def validation_errors(kubectl: Kubectl, file: Path) -> str:
    """Returns the errors of the API server for a manifest."""
    return kubectl.run("apply", "--server-side", "--dry-run=server", "--filename", str(file)).stderr


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifest_is_valid(gateway_kubectl: Kubectl, name: str) -> None:
    assert validation_errors(gateway_kubectl, CONFIGURATIONS / name) == ""


@pytest.mark.parametrize("name", MANIFESTS)
def test_misspelt_field_is_rejected(gateway_kubectl: Kubectl, name: str, tmp_path: Path) -> None:
    for item in yaml.safe_load_all((CONFIGURATIONS / name).read_text()):
        field = next(iter(item["spec"]))
        item["spec"][f"{field}X"] = item["spec"].pop(field)
        file = tmp_path / name
        file.write_text(yaml.safe_dump(item))
        assert f"{field}X" in validation_errors(gateway_kubectl, file), item


def test_every_configuration_is_tested() -> None:
    envoy = {f"envoy-{name}.yaml" for name in ("ext-authz", "ext-authz-grpc", "ext-proc", "token", "certificate")}
    traefik = {"traefik.yaml", "traefik-game.yaml", "traefik-token.yaml"}
    tested = {*MANIFESTS, *envoy, "nginx.conf", "haproxy.cfg", "haproxy.lua", *traefik, "README.md"}
    assert {each.name for each in CONFIGURATIONS.iterdir()} == tested
