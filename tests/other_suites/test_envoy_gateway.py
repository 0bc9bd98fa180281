"""Routes requests of users through a real Envoy Gateway and its Envoy, with the manifest of deploy/gateways.

`make test-envoy-gateway` runs it: to build Envoy Gateway takes minutes, and its ports are the same in every process.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateways import fake_kubelet as kubelets
from gateways.conftest import PICKER_OPTIONS
from gateways.fake_kubelet import FakeKubelet
from gateways.http_client import Reply, send_request
from gateways.test_routing import FORGED
from localcluster import LocalCluster
from localcluster.ports import free_port, is_listening
from localcluster.progress import PlainProgress
from localgateways import programs
from localgateways.configurations import GatewayAddresses
from localgateways.envoy_gateway import PORTS, build_envoy_gateway, run_envoy_gateway, version_of, write_objects
from localgateways.processes import Gateway
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.resolver_process import ResolverProcess
from support.scale import IS_LONG
from support.service import Service
from support.waiting import eventually

pytestmark = [
    pytest.mark.skipif(not IS_LONG, reason="to build Envoy Gateway takes minutes: make test-envoy-gateway"),
    pytest.mark.timeout(1800),
]

LOG = logging.getLogger(__name__)
USERS, ROUNDS = 100, 20
HEADER = "x-gateway-destination-endpoint"


@dataclass(frozen=True, slots=True)
class Environment:
    """A service behind Envoy Gateway.

    Attributes:
        service: the service.
        kubelet: runs its pods' containers.
        gateway: the gateway.
        addresses: the addresses that the gateway uses.
        envoy: the path of its Envoy.
    """

    service: Service
    kubelet: FakeKubelet
    gateway: Gateway
    addresses: GatewayAddresses
    envoy: Path

    def send(self, uid: str, *headers: tuple[str, str]) -> Reply:
        """Sends a request of a user."""
        return send_request(self.gateway.url, [("x-user-id", uid), *headers])

    def pod_of(self, uid: str) -> str:
        """Returns the name of the pod that a user is linked to."""
        return f"game-{self.service.get(f'game.{uid}')['spec']['podIndex']}"


@pytest.fixture(scope="module")
def environment(
    cluster: LocalCluster,
    shared_kubectl: Kubectl,
    independent_client: IndependentClient,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Environment]:
    """Three pods behind Envoy Gateway, which calls a resolver."""
    if taken := [port for port in PORTS if is_listening(port)]:
        pytest.skip(f"Envoy Gateway listens on fixed ports, and another process uses {taken}")
    gateway_program, envoy = build_envoy_gateway(PlainProgress()), programs.envoy(PlainProgress())
    folder = tmp_path_factory.mktemp("envoy-gateway")
    service = Service(shared_kubectl, independent_client)
    kubelets.create_service(service, 3)
    kubelet = FakeKubelet(service, tmp_path_factory.mktemp("pods"))
    options = ("--watch-namespace", service.namespace, *PICKER_OPTIONS)
    resolver = ResolverProcess(cluster.kubeconfig, folder / "resolver.log", *options)
    with kubelet.running():
        kubelet.await_ready(3)
        service.await_pods(3)
        resolver.start()
        addresses = GatewayAddresses(
            port=free_port(),
            admin_port=free_port(),
            folder=folder,
            namespace=service.namespace,
            pods="",
            pod_addresses=kubelet.addresses(),
            resolvers=[resolver.picker],
        )
        with run_envoy_gateway(gateway_program, envoy, addresses) as gateway:
            yield Environment(service, kubelet, gateway, addresses, envoy)
        resolver.stop()
    assert resolver.errors() == []


def test_users_reach_their_pods(environment: Environment) -> None:
    users = [f"user-{number}" for number in range(USERS)]
    first: dict[str, str] = {}
    for uid in users:
        eventually(lambda uid=uid: environment.send(uid).status == 200, f"{uid} is bound")
        first[uid] = environment.pod_of(uid)
    replies = Counter(
        (reply.status, reply.pod == first[uid])
        for _ in range(ROUNDS)
        for uid in users
        if (reply := environment.send(uid))
    )
    LOG.info("%s requests of %s users: %s on %s", replies.total(), USERS, dict(replies), Counter(first.values()))
    assert replies == {(200, True): USERS * ROUNDS}
    assert len(set(first.values())) == 3


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_endpoint_of_a_client_is_not_used(environment: Environment, forged: list[tuple[str, str]]) -> None:
    link = environment.service.link("holder", podIndex=1)
    other = environment.kubelet.endpoint(2)
    headers = [(name, value.replace("OTHERPOD", "game-2").replace("OTHER", other)) for name, value in forged]
    eventually(lambda: environment.send("holder").pod == "game-1", "the resolver knows the user")
    reply = environment.send("holder", *headers)
    assert reply.status == 400 or reply.pod == "game-1", reply
    environment.service.client.delete(PodLink, link, environment.service.namespace)


def test_moved_user_reaches_the_new_pod(environment: Environment) -> None:
    link = environment.service.link("mover", podIndex=0)
    eventually(lambda: environment.send("mover").pod == "game-0", "the user is linked")
    environment.service.client.patch(PodLink, link, environment.service.namespace, {"spec": {"podIndex": 2}})
    eventually(lambda: environment.send("mover").pod == "game-2", "the user is moved")


def test_invalid_user_reaches_no_pod(environment: Environment) -> None:
    assert environment.send("x" * 1000).status == 400


def test_request_for_a_pod_that_the_gateway_does_not_know_reaches_another_one(environment: Environment) -> None:
    """The gap that the manifest describes: fix the manifest when a version of Envoy Gateway closes it."""
    environment.service.link("early", podIndex=2)
    eventually(lambda: environment.send("early").pod == "game-2", "the user is linked")
    version = version_of(environment.envoy)
    known = environment.addresses.pod_addresses
    write_objects(replace(environment.addresses, pod_addresses=known[:2]), version)
    eventually(lambda: environment.send("early").pod in {"game-0", "game-1"}, "the gateway falls back")
    write_objects(environment.addresses, version)
    eventually(lambda: environment.send("early").pod == "game-2", "the gateway knows the pod again")
