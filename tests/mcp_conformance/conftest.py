"""The suite, a server alone, and three replicas of it behind gateways."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gateways import fake_kubelet as kubelets
from gateways.conftest import gateway_programs, two_resolvers
from gateways.fake_kubelet import FakeKubelet
from gateways.fleet import GatewayFleet, Programs
from localcluster import LocalCluster
from localcluster.errors import LocalClusterError
from localgateways.configurations import Authentication
from mcp_conformance.servers import ACCOUNT, Replicas, running_alone
from mcp_conformance.suite import Reports, Suite
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.mcp_sdk import sdk_python
from support.namespaces import drained_namespace
from support.operator_process import OperatorProcess, OperatorSlot
from support.rbac import apply_role, create_account
from support.service import Service

__all__ = ["gateway_programs"]

PODS = 3

SESSION_HEADER = "mcp-session-id"


@pytest.fixture(scope="session")
def suite() -> Suite:
    """The suite; skips the tests, with the reason, if it or the SDK cannot be fetched."""
    try:
        sdk_python()
        return Suite.install()
    except LocalClusterError as error:
        pytest.skip(str(error).partition("\n")[0])


@pytest.fixture(scope="module")
def reports(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """What the suite reports of the server alone and of the gateways."""
    return Reports(suite, tmp_path_factory.mktemp("reports"))


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """A folder for what the replicas share: the path of a socket is at most 107 bytes long."""
    with TemporaryDirectory(prefix="mcp-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def alone(suite: Suite, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server without a gateway."""
    del suite  # what it installs may be missing
    (shared / "alone").mkdir()
    with running_alone(tmp_path_factory.mktemp("alone"), shared / "alone") as url:
        yield url


@pytest.fixture(scope="module")
def service(
    operator: OperatorProcess, installed: Kubectl, operator_slot: OperatorSlot, independent_client: IndependentClient
) -> Iterator[Service]:
    """A service with three pods that wait for their kubelet, while the operator serves."""
    del operator  # it must serve
    with drained_namespace(installed, independent_client, operator_slot) as name:
        service = Service(installed.within(name), independent_client)
        with create_account(service.kubectl, ACCOUNT, apply_role(service.kubectl, "server")):
            kubelets.create_service(service, PODS, serviceAccountName=ACCOUNT)
            yield service


@pytest.fixture(scope="module")
def servers_link() -> bool:
    """Whether the servers link their sessions. If not, the resolver does, where the gateway shows it responses."""
    return True


@pytest.fixture(scope="module")
def replicas(
    suite: Suite, service: Service, servers_link: bool, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Replicas:
    """The servers of the pods."""
    del suite  # what it installs may be missing
    (shared / "replicas").mkdir()
    return Replicas(service, tmp_path_factory.mktemp("replicas"), shared / "replicas", link=servers_link)


@pytest.fixture(scope="module")
def kubelet(service: Service, replicas: Replicas, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeKubelet]:
    """Runs the servers."""
    kubelet = FakeKubelet(service, tmp_path_factory.mktemp("pods"), replicas.start)
    with kubelet.running():
        kubelet.await_ready(PODS)
        service.await_pods(PODS)
        yield kubelet


@pytest.fixture(scope="module")
def fleet(  # noqa: PLR0913, PLR0917 - what gateways are between
    cluster: LocalCluster,
    service: Service,
    kubelet: FakeKubelet,
    gateway_programs: Programs,
    servers_link: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[GatewayFleet]:
    """The gateways: a request with a session goes to the pod of the session, and any other to the pods in turn."""
    folder = tmp_path_factory.mktemp("gateways")
    options = ["--watch-namespace", service.namespace, "--uid-from", f"header:{SESSION_HEADER}"]
    if not servers_link:
        options += ["--uid-from-response", SESSION_HEADER]
    with ExitStack() as stack:
        resolvers = stack.enter_context(two_resolvers(cluster.kubeconfig, folder, *options))
        place = (folder, service.namespace, kubelet.addresses, {Authentication.NONE: resolvers})
        yield stack.enter_context(GatewayFleet(gateway_programs, *place, uid_header=SESSION_HEADER))
