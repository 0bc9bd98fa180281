"""Fixtures for gateways in front of real pods, with two resolvers and an operator."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateways import fake_kubelet as kubelets
from gateways.fake_kubelet import FakeKubelet
from gateways.fleet import GATEWAYS, GatewayFleet, Programs
from localcluster import LocalCluster
from localcluster.errors import LocalClusterError
from localcluster.progress import PlainProgress
from localgateways import programs
from localgateways.configurations import Authentication
from localgateways.processes import Gateway
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.namespaces import drained_namespace
from support.operator_process import OperatorProcess, OperatorSlot
from support.resolver_process import ResolverProcess
from support.service import Service

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


@pytest.fixture(scope="session")
def gateway_programs() -> Programs:
    """The programs of real gateways; skips the tests if one is not available."""
    try:
        sources = (programs.envoy, programs.nginx, programs.haproxy, programs.traefik)
        return Programs(*(find(PlainProgress()) for find in sources))
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
        addresses: returns the addresses of its pods, in the order of their indices.
        resolvers: the resolvers that they call.
    """
    plain = {Authentication.NONE: resolvers}
    with GatewayFleet(gateway_programs, folder, namespace, addresses, plain) as fleet:
        yield {kind: fleet.gateway(kind) for kind in GATEWAYS}


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
