"""The notebooks of examples/mcp behind Envoy and nginx, and behind an Envoy that asks nobody."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateways.fake_kubelet import PORT, FakeKubelet
from localcluster import LocalCluster
from localcluster.errors import LocalClusterError
from localcluster.ports import free_port
from localcluster.progress import PlainProgress
from localgateways import configurations, dns, processes, programs
from localgateways.configurations import GatewayAddresses
from mcp.notebook_pods import NotebookServers, create_service
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.load_servers import pod_ip
from support.mcp_sdk import sdk_python
from support.rbac import apply_role
from support.resolver_process import ResolverProcess
from support.scale import scaled
from support.service import Service

#: How many pods there are at first.
PODS = scaled(2, 3)

#: Where the resolver finds the handle of a notebook.
UID_SOURCES = ("mcp-param:notebook", "header:mcp-session-id")

_FORWARDED = {"{exact: x-user-id}": "{exact: mcp-param-notebook}, {exact: mcp-session-id}"}


@dataclass(frozen=True, slots=True)
class Environment:
    """The notebooks, and the ways to them.

    Attributes:
        service: the service.
        kubelet: runs the servers of its pods.
        urls: the URLs of the MCP servers by each gateway: `Envoy`, `nginx` and `round robin`.
        python: the interpreter of the environment with the SDK.
        folder: for files.
    """

    service: Service
    kubelet: FakeKubelet
    urls: Mapping[str, str]
    python: Path
    folder: Path


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter of the environment with the SDK; skips the tests if it cannot be made."""
    try:
        return sdk_python()
    except LocalClusterError as error:
        pytest.skip(str(error).partition("\n")[0])


@pytest.fixture(scope="session")
def gateway_programs() -> Mapping[str, Path]:
    """Envoy and nginx; skips the tests if one is not available."""
    try:
        return {"Envoy": programs.envoy(PlainProgress()), "nginx": programs.nginx(PlainProgress())}
    except LocalClusterError as error:
        pytest.skip(f"a gateway is not available: {error}")


@pytest.fixture(scope="module")
def service(shared_kubectl: Kubectl, independent_client: IndependentClient) -> Service:
    """The service of the example, whose pods wait for their kubelet."""
    service = Service(shared_kubectl, independent_client, "notebooks")
    apply_role(shared_kubectl, "server")
    create_service(service, PODS)
    pod_ip(service, service.pod_name(0))
    return service


@pytest.fixture(scope="module")
def kubelet(service: Service, python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeKubelet]:
    """Runs the servers of the pods."""
    folder = tmp_path_factory.mktemp("pods")
    kubelet = FakeKubelet(service, folder, NotebookServers(service, python, folder).start)
    with kubelet.running():
        kubelet.await_ready(PODS)
        service.await_pods(PODS)
        yield kubelet


@pytest.fixture(scope="module")
def resolver(
    cluster: LocalCluster, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ResolverProcess]:
    """A resolver that finds the handles where MCP has them."""
    options = [option for source in UID_SOURCES for option in ("--uid-from", source)]
    log = tmp_path_factory.mktemp("resolver") / "log"
    process = ResolverProcess(cluster.kubeconfig, log, "--watch-namespace", service.namespace, *options)
    yield process.start()
    process.stop()
    assert process.errors() == []


@pytest.fixture(scope="module")
def environment(  # noqa: PLR0913, PLR0917 - what gateways are between
    service: Service,
    kubelet: FakeKubelet,
    resolver: ResolverProcess,
    gateway_programs: Mapping[str, Path],
    python: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Environment]:
    """The gateways, with the configurations of deploy/gateways."""
    folder = tmp_path_factory.mktemp("gateways")
    with ExitStack() as stack:
        all_pods, ready_pods = (
            stack.enter_context(dns.serve_dns(each)) for each in (kubelet.addresses, kubelet.ready_addresses)
        )

        def place(name: str, dns_port: int) -> GatewayAddresses:
            (folder / name).mkdir()
            return GatewayAddresses(
                port=free_port(),
                grpc_port=free_port(),
                admin_port=free_port(),
                folder=folder / name,
                namespace=service.namespace,
                route=service.name,
                pods=f"{service.name}.{service.namespace}.svc.cluster.local",
                pod_port=PORT,
                resolvers=[resolver.lookups],
                dns_port=dns_port,
            )

        envoy, nginx, round_robin = place("envoy", all_pods), place("nginx", all_pods), place("round-robin", ready_pods)
        configuration = configurations.envoy("envoy-ext-authz.yaml", envoy, _FORWARDED)
        running = {
            "Envoy": processes.envoy(gateway_programs["Envoy"], configuration, envoy),
            "nginx": processes.nginx(gateway_programs["nginx"], configurations.nginx("nginx.conf", nginx), nginx),
            "round robin": processes.envoy(gateway_programs["Envoy"], _round_robin(round_robin), round_robin),
        }
        urls = {name: f"{stack.enter_context(gateway).url}/mcp" for name, gateway in running.items()}
        yield Environment(service, kubelet, urls, python, folder)


def _round_robin(place: GatewayAddresses) -> str:
    """Returns the configuration of a gateway that sends each request to the next pod."""
    text = Path(__file__).with_name("round_robin.yaml").read_text(encoding="utf-8")
    ports = {
        "ADMIN_PORT": place.admin_port,
        "OWN_PORT": place.port,
        "DNS_PORT": place.dns_port,
        "POD_PORT": place.pod_port,
    }
    return configurations.replace_all(text, {name: str(port) for name, port in ports.items()})
