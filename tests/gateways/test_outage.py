"""Tests that users reach their pods during an outage of the API server, and after a resolver is killed."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateways.conftest import run_gateways, two_resolvers
from gateways.fleet import GATEWAYS, GRPC_CALLERS, Programs
from gateways.http_client import send_request
from localcluster import LocalCluster
from localcluster.ports import free_port
from localgateways import configurations, dns, processes
from localgateways.configurations import GatewayAddresses
from localgateways.processes import Gateway
from resolver.stub_service import PORT, StubService
from support.independent_client import IndependentClient
from support.resolver_process import ResolverProcess
from support.scale import scaled
from support.waiting import eventually

BACKEND = Path(__file__).with_name("backend.py")
OUTAGE_SECONDS = scaled(2, 60)
ROUND_SECONDS = 0.3

#: How long the resolvers are frozen: longer than a pause of a busy machine, shorter than the timeouts of the gateways.
FROZEN_SECONDS = 0.7

#: The users, and the pod of each.
USERS = {f"user-{number}": number % 3 for number in range(20)}
EXPECTED = {uid: (200, f"game-{pod}") for uid, pod in USERS.items()}


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The addresses of three running pods."""
    ips = [f"127.{16 + os.getpid() % 200}.254.{pod + 1}" for pod in range(3)]
    folder = tmp_path_factory.mktemp("pods")
    with ExitStack() as stack:
        for pod, ip in enumerate(ips):
            command = [sys.executable, BACKEND, ip, str(PORT), f"game-{pod}", folder / f"{pod}.log"]
            process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.DEVNULL))
            stack.callback(process.terminate)
        yield ips


@pytest.fixture
def linked_users(killable_cluster: LocalCluster, namespace: str, addresses: list[str]) -> Iterator[StubService]:
    """A service with twenty users that are linked to these pods."""
    service = StubService(IndependentClient(killable_cluster.kubeconfig), namespace)
    service.create()
    for pod, ip in enumerate(addresses):
        service.patch_pod_status(pod, ip=ip)
    for uid, pod in USERS.items():
        service.link(uid, pod)
    yield service
    service.delete()


@pytest.fixture
def resolvers(
    linked_users: StubService, killable_cluster: LocalCluster, tmp_path: Path
) -> Iterator[list[ResolverProcess]]:
    """Two resolvers with these users in their caches."""
    del linked_users
    with two_resolvers(killable_cluster.kubeconfig, tmp_path) as both:
        yield both


@pytest.fixture
def gateways(
    gateway_programs: Programs,
    resolvers: list[ResolverProcess],
    namespace: str,
    addresses: list[str],
    tmp_path: Path,
) -> Iterator[dict[str, Gateway]]:
    """Gateways in front of the pods, which call both resolvers."""
    with run_gateways(gateway_programs, tmp_path, namespace, lambda: addresses, resolvers) as running:
        for gateway in running.values():
            eventually(lambda: reached(gateway.url) == EXPECTED, "all reach their pods")  # noqa: B023
        yield running


def reached(url: str) -> dict[str, tuple[int, str]]:
    """Returns the status and the pod of a response to each user."""
    answers = {uid: send_request(url, [("x-user-id", uid)]) for uid in USERS}
    return {uid: (answer.status, answer.pod) for uid, answer in answers.items()}


def test_linked_users_reach_their_pods_during_an_outage(
    killable_cluster: LocalCluster, gateways: dict[str, Gateway]
) -> None:
    killable_cluster.part("apiserver").kill()
    end = time.monotonic() + OUTAGE_SECONDS
    while time.monotonic() < end:
        for gateway in gateways.values():
            assert reached(gateway.url) == EXPECTED
        time.sleep(ROUND_SECONDS)
    # A new user cannot be bound: it gets 503, and reaches no pod.
    with ThreadPoolExecutor() as pool:
        new = list(pool.map(lambda gateway: send_request(gateway.url, [("x-user-id", "new")]), gateways.values()))
    assert {(answer.status, answer.pod) for answer in new} == {(503, "")}
    killable_cluster.part("apiserver").restart()
    for gateway in gateways.values():
        eventually(lambda: send_request(gateway.url, [("x-user-id", "new")]).status == 200, "new users are bound")  # noqa: B023


def test_users_reach_their_pods_after_one_resolver_is_killed(
    resolvers: list[ResolverProcess], gateways: dict[str, Gateway]
) -> None:
    resolvers[0].kill()
    for name, gateway in gateways.items():
        if name in GRPC_CALLERS:  # the gateway checks the health of the resolvers each second
            eventually(lambda: reached(gateway.url) == EXPECTED, "all reach their pods")  # noqa: B023
        assert [reached(gateway.url) for _ in range(3)] == [EXPECTED] * 3, name


def test_nginx_follows_the_addresses_of_a_headless_resolver(  # noqa: PLR0913, PLR0917 - fixtures
    gateway_programs: Programs,
    linked_users: StubService,
    killable_cluster: LocalCluster,
    namespace: str,
    addresses: list[str],
    tmp_path: Path,
) -> None:
    del linked_users
    port = free_port()
    ips = [address.replace(".254.", ".253.") for address in addresses[:2]]
    with ExitStack() as stack:

        def start(ip: str) -> ResolverProcess:
            resolver = ResolverProcess(killable_cluster.kubeconfig, tmp_path / ip, "--http-address", f"{ip}:{port}")
            stack.callback(lambda: resolver.is_running and resolver.kill())
            return resolver.start()

        resolver, in_dns = start(ips[0]), ips[:1]
        dns_port = stack.enter_context(dns.serve_dns(lambda: in_dns))
        place = GatewayAddresses(
            port=free_port(),
            grpc_port=free_port(),
            admin_port=free_port(),
            folder=tmp_path,
            namespace=namespace,
            pods="",
            resolvers=[resolver.lookups],
            dns_port=dns_port,
            pod_port=PORT,
        )
        text = configurations.nginx("nginx.conf", place, headless=f"resolver.test:{port}")
        gateway = stack.enter_context(processes.nginx(gateway_programs.nginx, text, place))
        eventually(lambda: reached(gateway.url) == EXPECTED, "all reach their pods")
        resolver.kill()
        start(ips[1])
        in_dns[:] = ips[1:]
        eventually(lambda: reached(gateway.url) == EXPECTED, "all reach their pods by the new resolver")


def test_gateways_wait_for_briefly_frozen_resolvers(
    resolvers: list[ResolverProcess], gateways: dict[str, Gateway]
) -> None:
    for resolver in resolvers:
        resolver.freeze()
    with ThreadPoolExecutor(len(GATEWAYS)) as pool:
        answers = [pool.submit(send_request, gateway.url, [("x-user-id", "user-0")]) for gateway in gateways.values()]
        time.sleep(FROZEN_SECONDS)
        for resolver in resolvers:
            resolver.thaw()
        assert [(answer.result().status, answer.result().pod) for answer in answers] == [EXPECTED["user-0"]] * len(
            GATEWAYS
        )
