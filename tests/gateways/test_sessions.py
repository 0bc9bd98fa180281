"""Tests that sessions that servers begin are linked by the resolver, from the responses that Envoy sends it."""

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateways.conftest import PICKER_OPTIONS
from gateways.fleet import LINKING, LINKING_DUPLEX, RETRYING, GatewayFleet, Programs
from gateways.http_client import Reply, send_request
from gateways.session_server import SESSION
from localcluster import LocalCluster
from localgateways.configurations import Authentication
from resolver.stub_service import PORT, StubService
from support.independent_client import IndependentClient
from support.metrics import http_get
from support.resolver_process import ResolverProcess
from support.waiting import eventually

SERVER = Path(__file__).with_name("session_server.py")
SESSIONS = 60
REQUESTS = 5

OPTIONS = (
    "--uid-from",
    f"header:{SESSION}",
    "--uid-from-response",
    SESSION,
    "--bindings-per-second",
    "1000",
    *PICKER_OPTIONS,
)

PODS = {"game-0", "game-1", "game-2"}


@pytest.fixture(scope="module")
def addresses() -> Iterator[list[str]]:
    """The addresses of three running pods."""
    ips = [f"127.{16 + os.getpid() % 200}.252.{pod + 1}" for pod in range(3)]
    with ExitStack() as stack:
        for pod, ip in enumerate(ips):
            command = [sys.executable, SERVER, ip, str(PORT), f"game-{pod}"]
            process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.DEVNULL))
            stack.callback(process.terminate)
        yield ips


@pytest.fixture
def service(killable_cluster: LocalCluster, namespace: str, addresses: list[str]) -> Iterator[StubService]:
    """A service with these pods."""
    service = StubService(IndependentClient(killable_cluster.kubeconfig), namespace)
    service.create()
    for pod, ip in enumerate(addresses):
        service.patch_pod_status(pod, ip=ip)
    yield service
    service.delete()


@pytest.fixture
def policy(request: pytest.FixtureRequest) -> str:
    """What the resolvers do with a uid that is not linked: what the test names, or the default."""
    return str(getattr(request, "param", "bind"))


@pytest.fixture
def resolvers(
    killable_cluster: LocalCluster, service: StubService, policy: str, tmp_path: Path
) -> Iterator[list[ResolverProcess]]:
    """Three resolvers that link the sessions."""
    options = (
        "--watch-namespace",
        service.namespace,
        "--unknown-uid",
        policy,
        "--bindings-per-second",
        "1000",
        *OPTIONS,
    )
    made = [ResolverProcess(killable_cluster.kubeconfig, tmp_path / f"resolver-{n}.log", *options) for n in range(3)]
    try:
        for resolver in made:
            resolver.launch()
        for resolver in made:
            resolver.await_serving()
        yield made
    finally:
        for resolver in made:
            resolver.stop()
    assert [line for resolver in made for line in resolver.errors()] == []


@pytest.fixture
def fleet(
    service: StubService,
    resolvers: list[ResolverProcess],
    addresses: list[str],
    gateway_programs: Programs,
    tmp_path: Path,
) -> Iterator[GatewayFleet]:
    """Gateways that call these resolvers."""
    plain = {Authentication.NONE: resolvers}
    with GatewayFleet(gateway_programs, tmp_path, service.namespace, lambda: addresses, plain) as fleet:
        yield fleet


def gateway_of(fleet: GatewayFleet, kind: str = LINKING) -> str:
    """Returns the URL of a gateway that reaches all pods."""
    url = fleet.gateway(kind).url
    eventually(
        lambda: {send_request(url, [("x-mute", "")], method="POST").pod for _ in range(9)} == PODS,
        "the gateway knows the pods",
    )
    return url


def begin(url: str, *headers: tuple[str, str]) -> Reply:
    """Begins a session."""
    return send_request(url, headers, method="POST")


def reached(url: str, session: str) -> set[tuple[int, str]]:
    """Returns the statuses and pods of the responses to several requests of a session."""
    replies = [send_request(url, [(SESSION, session)], method="POST") for _ in range(REQUESTS)]
    return {(reply.status, reply.pod) for reply in replies}


def outcomes(resolvers: list[ResolverProcess], outcome: str) -> int:
    """Returns the number of links with an outcome at all resolvers."""
    start = f'statefulroute_resolver_links_total{{outcome="{outcome}"}} '
    lines = [line for resolver in resolvers for line in http_get(resolver.probes, "/metrics").text.splitlines()]
    return sum(int(float(line.removeprefix(start))) for line in lines if line.startswith(start))


@pytest.mark.parametrize(
    ("policy", "kind"), [("bind", LINKING), ("any", LINKING), ("bind", LINKING_DUPLEX)], indirect=["policy"]
)
def test_next_request_of_a_session_reaches_its_server(
    fleet: GatewayFleet, resolvers: list[ResolverProcess], service: StubService, kind: str
) -> None:
    url = gateway_of(fleet, kind)

    def begin_and_use(_: int) -> tuple[str, str]:
        reply = begin(url)
        session = reply.headers[SESSION]
        assert reply.status == 200
        assert reached(url, session) == {(200, reply.pod)}
        return session, reply.pod

    with ThreadPoolExecutor(8) as pool:
        pods = dict(pool.map(begin_and_use, range(SESSIONS)))
    assert {uid: f"game-{pod}" for uid, pod in service.stored_pods().items()} == pods
    assert set(pods.values()) == PODS
    assert outcomes(resolvers, "named") == SESSIONS


def test_responses_that_begin_no_session_are_passed_on(fleet: GatewayFleet, service: StubService) -> None:
    url = gateway_of(fleet)
    assert SESSION not in begin(url, ("x-mute", "")).headers
    for status in (404, 500):
        reply = begin(url, ("x-status", str(status)))
        assert (reply.status, SESSION in reply.headers) == (status, True)
    assert service.stored_pods() == {}


def test_parallel_responses_with_the_same_session_link_it_once(
    fleet: GatewayFleet, resolvers: list[ResolverProcess], service: StubService
) -> None:
    url = gateway_of(fleet)
    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(lambda _: begin(url, ("x-mint", "same")), range(24)))
    assert {(reply.status, reply.headers[SESSION]) for reply in replies} == {(200, "same")}
    assert {reply.pod for reply in replies} == PODS
    (pod,) = service.stored_pods().values()
    assert reached(url, "same") == {(200, f"game-{pod}")}
    of_other_pods = sum(reply.pod != f"game-{pod}" for reply in replies)
    assert (outcomes(resolvers, "named"), outcomes(resolvers, "conflicting")) == (24 - of_other_pods, of_other_pods)


def test_session_that_is_linked_to_another_pod_stays_there(
    fleet: GatewayFleet, resolvers: list[ResolverProcess], service: StubService
) -> None:
    url = gateway_of(fleet)
    service.link("taken", 1)
    replies = [begin(url, ("x-mint", "taken")) for _ in range(6)]
    assert {reply.status for reply in replies} == {200}
    assert service.stored_pods() == {"taken": 1}
    assert reached(url, "taken") == {(200, "game-1")}
    assert outcomes(resolvers, "conflicting") == sum(reply.pod != "game-1" for reply in replies) > 0
    lines = [line for resolver in resolvers for line in resolver.lines if line["level"] == "warning" and "link" in line]
    assert {(line["event"], line["link"]) for line in lines} == {
        ("a response names a uid that is linked to another pod", "game.taken")
    }


@pytest.mark.parametrize("headers", [[("x-mint", "a" * 190)], [("x-mint-twice", "")]], ids=["too long", "two"])
def test_response_whose_session_cannot_be_linked_is_replaced(
    fleet: GatewayFleet, service: StubService, headers: list[tuple[str, str]]
) -> None:
    reply = begin(gateway_of(fleet), *headers)
    assert (reply.status, SESSION in reply.headers, reply.pod) == (502, False, "")
    assert b"unusable-response" in reply.body
    assert service.stored_pods() == {}


def test_no_session_begins_that_cannot_be_linked(
    fleet: GatewayFleet, killable_cluster: LocalCluster, service: StubService
) -> None:
    url = gateway_of(fleet)
    begun = begin(url)
    here = {(200, begun.pod)}
    eventually(lambda: reached(url, begun.headers[SESSION]) == here, "all resolvers know the link")
    killable_cluster.part("apiserver").kill()
    try:
        failed = begin(url)
        assert (failed.status, SESSION in failed.headers, failed.headers["retry-after"]) == (503, False, "1")
        assert b"api-server-away" in failed.body
        assert begin(url, ("x-mute", "")).status == 200
        assert reached(url, begun.headers[SESSION]) == here
    finally:
        killable_cluster.part("apiserver").restart()
    eventually(lambda: begin(url).status == 200, "sessions begin again")
    assert begun.headers[SESSION] in service.stored_pods()


@pytest.mark.parametrize("server", sorted(PODS))
def test_session_of_a_pod_that_the_gateway_tried_later_is_linked_to_that_pod(fleet: GatewayFleet, server: str) -> None:
    url = gateway_of(fleet, RETRYING)
    others = ",".join(PODS - {server})
    for _ in range(6):
        reply = begin(url, ("x-refused-by", others))
        assert (reply.status, reply.pod) == (200, server)
        assert reached(url, reply.headers[SESSION]) == {(200, server)}


@pytest.mark.parametrize("kind", [LINKING, LINKING_DUPLEX])
def test_stream_of_a_new_session_is_not_held_back(fleet: GatewayFleet, kind: str) -> None:
    url = gateway_of(fleet, kind)
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
    connection.request("GET", "/")
    with connection.getresponse() as response:
        session, pod = response.headers[SESSION], response.headers["x-pod"]
        assert response.readline() == b"data: first\n"
        # The server sends the second event only after this request.
        assert reached(url, session) == {(200, pod)}
        assert [response.readline() for _ in range(2)] == [b"\n", b"data: second\n"]
        assert response.readline() == b"\n"
        assert response.read() == b""
    connection.close()
