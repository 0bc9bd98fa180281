"""Fixtures for Envoy and nginx in front of real pods, with two resolvers and an operator."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateways import dns
from gateways import fake_kubelet as kubelets
from gateways.fake_kubelet import FakeKubelet
from localcluster import LocalCluster
from localcluster.errors import LocalClusterError
from localcluster.progress import PlainProgress
from localgateways import configurations, processes, programs
from localgateways.configurations import GatewayAddresses
from localgateways.processes import Gateway
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.load_servers import free_port
from support.namespaces import drained_namespace
from support.operator_process import OperatorProcess, OperatorSlot
from support.resolver_process import ResolverProcess
from support.service import Service

EXT_AUTHZ, EXT_PROC, DUPLEX, NGINX = GATEWAYS = (
    "Envoy by ext_authz",
    "Envoy by ext_proc",
    "Envoy by ext_proc in full duplex",
    "nginx",
)

#: The processing mode of gateways with endpoint pickers, which always send bodies in full duplex.
FULL_DUPLEX = {
    "request_body_mode: NONE": "request_body_mode: FULL_DUPLEX_STREAMED",
    "request_trailer_mode: SKIP": "request_trailer_mode: SEND",
}

#: Options of a resolver that enable the endpoint picker.
PICKER_OPTIONS = ("--grpc-address", "127.0.0.1:0")


@dataclass(frozen=True, slots=True)
class Environment:
    """A service behind gateways of each kind, which call two resolvers.

    Attributes:
        service: the service.
        kubelet: runs its pods' containers.
        resolvers: the two resolvers.
        gateways: the gateways by name.
    """

    service: Service
    kubelet: FakeKubelet
    resolvers: list[ResolverProcess]
    gateways: dict[str, Gateway]


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of the gateways."""

    envoy: Path
    nginx: Path


@pytest.fixture(scope="session")
def gateway_programs() -> Programs:
    """The programs of real gateways; skips the tests if one is not available."""
    try:
        return Programs(programs.envoy(PlainProgress()), programs.nginx(PlainProgress()))
    except LocalClusterError as error:
        pytest.skip(f"a gateway is not available: {error}")


@contextmanager
def run_gateways(
    gateway_programs: Programs,
    folder: Path,
    namespace: str,
    addresses: Callable[[], Collection[str]],
    resolvers: Sequence[ResolverProcess],
) -> Iterator[dict[str, Gateway]]:
    """Runs a gateway of each kind in front of the pods of `game` while the context lasts.

    Args:
        gateway_programs: the programs.
        folder: the folder for their files.
        namespace: the namespace of the service.
        addresses: returns the addresses of its pods.
        resolvers: the resolvers that they call.
    """
    with ExitStack() as stack:
        dns_port = stack.enter_context(dns.serve_dns(addresses))

        def place(name: str, asked: Sequence[str]) -> GatewayAddresses:
            own = folder / name
            own.mkdir()
            pods = f"game-pods.{namespace}.svc.cluster.local"
            return GatewayAddresses(
                port=free_port(),
                admin_port=free_port(),
                folder=own,
                namespace=namespace,
                pods=pods,
                resolvers=asked,
                dns_port=dns_port,
            )

        lookups, pickers = [each.lookups for each in resolvers], [each.picker for each in resolvers]

        def envoy(name: str, file: str, asked: Sequence[str], changes: Mapping[str, str]) -> Gateway:
            here = place(name, asked)
            return stack.enter_context(
                processes.envoy(gateway_programs.envoy, configurations.envoy(file, here, changes), here)
            )

        here = place("nginx", lookups)
        by_auth_request = processes.nginx(gateway_programs.nginx, configurations.nginx("nginx.conf", here), here)
        yield {
            EXT_AUTHZ: envoy("ext-authz", "envoy-ext-authz.yaml", lookups, {}),
            EXT_PROC: envoy("ext-proc", "envoy-ext-proc.yaml", pickers, {}),
            DUPLEX: envoy("duplex", "envoy-ext-proc.yaml", pickers, FULL_DUPLEX),
            NGINX: stack.enter_context(by_auth_request),
        }


@pytest.fixture(scope="module")
def service(
    operator: OperatorProcess, installed: Kubectl, operator_slot: OperatorSlot, independent_client: IndependentClient
) -> Iterator[Service]:
    """A service with three pods that wait for their kubelet, while the operator serves."""
    del operator  # it must serve
    with drained_namespace(installed, independent_client, operator_slot) as name:
        service = Service(installed.within(name), independent_client)
        kubelets.create_service(service, 3)
        yield service


@pytest.fixture(scope="module")
def kubelet(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeKubelet]:
    """Runs the containers of the pods."""
    kubelet = FakeKubelet(service, tmp_path_factory.mktemp("pods"))
    with kubelet.running():
        kubelet.await_ready(3)
        service.await_pods(3)
        yield kubelet


@contextmanager
def two_resolvers(kubeconfig: Path, folder: Path, *options: str) -> Iterator[list[ResolverProcess]]:
    """Runs two resolvers while the context lasts; a test may stop one itself."""
    made = [
        ResolverProcess(kubeconfig, folder / f"resolver-{each}.log", *options, *PICKER_OPTIONS) for each in range(2)
    ]
    try:
        for resolver in made:
            resolver.launch()
        for resolver in made:
            resolver.await_serving()
        yield made
    finally:
        for resolver in made:
            if resolver.is_running:
                resolver.stop()


@pytest.fixture(scope="module")
def resolvers(
    cluster: LocalCluster, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[ResolverProcess]]:
    """Two resolvers."""
    folder = tmp_path_factory.mktemp("resolvers")
    with two_resolvers(cluster.kubeconfig, folder, "--watch-namespace", service.namespace) as made:
        yield made
    assert [line for resolver in made for line in resolver.errors()] == []


@pytest.fixture(scope="module")
def environment(
    service: Service,
    kubelet: FakeKubelet,
    resolvers: list[ResolverProcess],
    gateway_programs: Programs,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Environment]:
    """The gateways, with the configurations of deploy/gateways."""
    folder = tmp_path_factory.mktemp("gateways")
    with run_gateways(gateway_programs, folder, service.namespace, kubelet.addresses, resolvers) as gateways:
        yield Environment(service, kubelet, resolvers, gateways)
