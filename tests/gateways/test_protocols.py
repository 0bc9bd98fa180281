"""Tests every gateway with every protocol and every authentication, with many and with idle connections."""

import asyncio
import resource
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType

from gateways.backend import PUBLISH
from gateways.conftest import PICKER_OPTIONS
from gateways.fake_kubelet import FakeKubelet
from gateways.fleet import (
    AUDIENCE,
    DUPLEX,
    EXT_AUTHZ,
    EXT_AUTHZ_GRPC,
    EXT_PROC,
    GATEWAYS,
    HAPROXY,
    LIMITED,
    NGINX,
    TRAEFIK,
    GatewayFleet,
    Programs,
    create_credentials,
)
from gateways.http_client import send_request
from gateways.protocols import PROTOCOLS, GrpcClient, LoopThread, events, session, web_socket
from gateways.recorder import RecordedResolver, record
from localcluster import LocalCluster
from localcluster.certificates import Authority
from localgateways.configurations import Authentication
from localgateways.processes import Gateway
from support.independent_client import PodLink
from support.resolver_process import ResolverProcess
from support.scale import IS_LONG, scaled
from support.service import Service
from support.waiting import eventually

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "gateways.md"

#: The gateways of the matrix. Full duplex is a variant of ext_proc that other gateways use.
KINDS = [kind for kind in GATEWAYS if kind != DUPLEX]

#: The resolvers that the gateways of each authentication call.
Resolvers = Mapping[Authentication, Collection[Any]]

#: What the token of a user contains: the resolver never receives it, and the pod does.
OF_THE_USER = "token-of-the-user"

#: The header with the endpoint, and the one with the pod: a client's own are never followed.
FORGED = (("x-gateway-destination-endpoint", "127.0.0.1:1"), ("x-statefulroute-pod", "game-9"))

#: The uids of users that a test moves.
MOVED = "moved-"

#: How many WebSockets are open at the same time: more than the 1,024 that Envoy permits by default.
WEB_SOCKETS = scaled(1_100, 5_000)

#: How long streams are idle: longer than the time limit of 15 s that is common for requests, or than nginx's of 60 s.
IDLE_SECONDS = scaled(16, 70)

#: A connection of a client has a file descriptor at the client, two at the gateway and one at the pod.
FILES = 2 * WEB_SOCKETS + 2_000


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    """An event loop for connections that stay open."""
    with LoopThread() as loop:
        yield loop


@pytest.fixture(scope="module")
def recorded(loop: LoopThread, resolvers: list[ResolverProcess]) -> Iterator[list[RecordedResolver]]:
    """The resolvers that authenticate nobody, with what they receive."""
    with ExitStack() as stack:
        yield [stack.enter_context(record(loop, resolver)) for resolver in resolvers]


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for the credentials of gateways and resolvers."""
    return tmp_path_factory.mktemp("credentials")


@pytest.fixture(scope="module")
def all_resolvers(
    cluster: LocalCluster, service: Service, recorded: list[RecordedResolver], credentials: Path
) -> Iterator[Resolvers]:
    """The resolvers for each authentication."""
    token = service.kubectl.run("create", "token", "default", "--audience", AUDIENCE, "--duration", "2h")
    options = create_credentials(credentials, token.expect_success().stdout.strip())
    resolvers: dict[Authentication, list[Any]] = {Authentication.NONE: [*recorded]}
    with ExitStack() as stack:
        for kind in (Authentication.TOKEN, Authentication.MTLS):
            log, watched = credentials / f"{kind}.log", ("--watch-namespace", service.namespace)
            process = ResolverProcess(cluster.kubeconfig, log, *watched, *PICKER_OPTIONS, *options[kind]).launch()
            stack.callback(process.stop)
            resolvers[kind] = [process]
        for kind in (Authentication.TOKEN, Authentication.MTLS):
            resolvers[kind][0].await_serving()
        yield resolvers


@pytest.fixture(scope="module")
def fleet(
    kubelet: FakeKubelet, service: Service, all_resolvers: Resolvers, gateway_programs: Programs, credentials: Path
) -> Iterator[GatewayFleet]:
    """The gateways, and resolvers that require a token or a certificate."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    place = (credentials, service.namespace, kubelet.addresses)
    with GatewayFleet(gateway_programs, *place, all_resolvers, credentials) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def unauthenticated_fleet(
    kubelet: FakeKubelet,
    service: Service,
    all_resolvers: Resolvers,
    gateway_programs: Programs,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[GatewayFleet]:
    """Gateways without credentials, which call a resolver that requires a token."""
    place = (tmp_path_factory.mktemp("unauthenticated"), service.namespace, kubelet.addresses)
    resolvers = {Authentication.NONE: all_resolvers[Authentication.TOKEN]}
    with GatewayFleet(gateway_programs, *place, resolvers) as fleet:
        yield fleet


@dataclass
class IdleStreams:
    """A WebSocket, events and a gRPC stream through each gateway, without any data.

    Attributes:
        pods: the pod of each.
        since: when they were opened, in monotonic seconds.
    """

    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    pods: list[str] = field(default_factory=list)
    since: float = 0.0
    _open: list[tuple[Gateway, Any, Any, Any]] = field(default_factory=list)

    async def open(self, gateways: list[Gateway], uid: str) -> None:
        headers = [("x-user-id", uid)]
        for gateway in gateways:
            socket, pod = await self.stack.enter_async_context(web_socket(gateway, headers))
            next_event, event_pod = await self.stack.enter_async_context(events(gateway, headers))
            client = await self.stack.enter_async_context(GrpcClient.connected(gateway, headers))
            call = client.stream_both()
            self.pods += [pod, event_pod, (await call.read()).decode()]
            self._open.append((gateway, socket, next_event, call))
        self.since = time.monotonic()

    async def speak(self, uid: str) -> list[tuple[str, str, str]]:
        """Sends a message through each stream; returns what comes back."""
        first = self._open[0][0]
        async with session() as http, http.get(first.url + PUBLISH, headers={"x-user-id": uid}) as response:
            assert response.status == 200
        received = []
        for _, socket, next_event, call in self._open:
            await socket.send_str("still here")
            await call.write(b"still here")
            message = await call.read()
            received.append((await socket.receive_str(), await next_event(), message.decode()))
        return received


@pytest.fixture(scope="module", autouse=True)
def idle_streams(loop: LoopThread, fleet: GatewayFleet) -> Iterator[IdleStreams]:
    """Streams that are idle while the other tests of this module run."""
    streams = IdleStreams()
    loop.run(streams.open([fleet.gateway(kind) for kind in KINDS], "idle"))
    yield streams
    loop.run(streams.stack.aclose())


def matrix() -> Iterator[Any]:
    """Yields each cell; `make test` tests authentication by HTTP only."""
    for kind in KINDS:
        for protocol in PROTOCOLS:
            for authentication in Authentication:
                if authentication is Authentication.NONE or protocol == "HTTP" or IS_LONG:
                    yield pytest.param(kind, protocol, authentication, id=f"{kind}, {protocol}, {authentication}")


@pytest.mark.parametrize(("kind", "protocol", "authentication"), [*matrix()])
def test_requests_reach_the_pod_of_the_user(  # noqa: PLR0913, PLR0917 - a cell, and where it is
    loop: LoopThread,
    fleet: GatewayFleet,
    service: Service,
    uid: str,
    kind: str,
    protocol: str,
    authentication: Authentication,
) -> None:
    gateway, send = fleet.gateway(kind, authentication), PROTOCOLS[protocol]
    headers = [("x-user-id", uid), ("authorization", f"Bearer {OF_THE_USER}")]
    pods = loop.run(send(gateway, headers)) | loop.run(send(gateway, [*headers, *FORGED]))
    assert pods == {f"game-{service.get(f'game.{uid}')['spec']['podIndex']}"}


# Traefik passes the 401 of the resolver on.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != TRAEFIK] if IS_LONG else [EXT_AUTHZ, NGINX])
def test_gateway_without_credentials_serves_nobody(unauthenticated_fleet: GatewayFleet, kind: str, uid: str) -> None:
    gateway = unauthenticated_fleet.gateway(kind)
    answer = send_request(gateway.url, [("x-user-id", uid), ("authorization", f"Bearer {OF_THE_USER}")])
    assert (answer.status, answer.pod) == (503, "")


def renewable() -> Iterator[Any]:
    """Yields the gateways that read renewed credentials by themselves; `make test` tests only one of them."""
    for authentication in (Authentication.TOKEN, Authentication.MTLS):
        for kind in [EXT_AUTHZ, *([EXT_AUTHZ_GRPC, EXT_PROC] if IS_LONG else [])]:
            yield pytest.param(kind, authentication, id=f"{kind}, {authentication}")
    if IS_LONG:
        yield pytest.param(HAPROXY, Authentication.TOKEN, id=f"{HAPROXY}, {Authentication.TOKEN}")


@pytest.mark.parametrize(("kind", "authentication"), [*renewable()])
def test_renewed_credentials_are_read_again(  # noqa: PLR0913, PLR0917 - a gateway, and what is behind it
    kubelet: FakeKubelet,
    service: Service,
    all_resolvers: Resolvers,
    gateway_programs: Programs,
    credentials: Path,
    tmp_path: Path,
    uid: str,
    kind: str,
    authentication: Authentication,
) -> None:
    own, strange = tmp_path / "own", Authority().client("gateway")
    own.mkdir()
    for name, content in (("token", b"expired"), ("tls.crt", strange.certificate), ("tls.key", strange.key)):
        (own / name).write_bytes(content)
    shutil.copy(credentials / "ca.crt", own)
    with GatewayFleet(gateway_programs, tmp_path, service.namespace, kubelet.addresses, all_resolvers, own) as fleet:
        gateway = fleet.gateway(kind, authentication)
        assert send_request(gateway.url, [("x-user-id", uid)]).status == 503
        for name in ("token", "tls.key", "tls.crt"):
            shutil.copy(credentials / name, tmp_path / name).replace(own / name)
        eventually(lambda: send_request(gateway.url, [("x-user-id", uid)]).status == 200, "they are read again")


@pytest.mark.parametrize("kind", [EXT_AUTHZ, *([EXT_PROC, NGINX, HAPROXY, TRAEFIK] if IS_LONG else [])])
def test_many_web_sockets_leave_room_for_requests(loop: LoopThread, fleet: GatewayFleet, kind: str) -> None:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit < FILES:
        pytest.skip(f"a process may open {limit} files, and the gateway needs {FILES}: raise it by `ulimit -n`")
    gateway = fleet.gateway(kind)

    async def connect_all() -> tuple[int, list[int]]:
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(session())
            opening = asyncio.Semaphore(100)

            async def connect(number: int) -> Any:
                async with opening:
                    socket = await http.ws_connect(gateway.url, headers={"x-user-id": f"crowd-{number % 20}"})
                    await socket.receive_str(timeout=20)
                    return socket

            sockets = await asyncio.gather(*(connect(number) for number in range(WEB_SOCKETS)))
            statuses = await asyncio.gather(
                *(asyncio.to_thread(send_request, gateway.url, [("x-user-id", f"crowd-{n}")]) for n in range(20))
            )
            for socket in sockets:
                await socket.send_str("hello")
            echoes = await asyncio.gather(*(socket.receive_str(timeout=20) for socket in sockets))
            return echoes.count("hello"), [each.status for each in statuses]

    assert loop.run(connect_all(), seconds=240) == (WEB_SOCKETS, [200] * 20)


def test_idle_streams_stay_open(loop: LoopThread, idle_streams: IdleStreams, service: Service) -> None:
    time.sleep(max(0.0, idle_streams.since + IDLE_SECONDS - time.monotonic()))
    assert set(idle_streams.pods) == {f"game-{service.get('game.idle')['spec']['podIndex']}"}
    assert loop.run(idle_streams.speak("idle")) == [("still here", "published", "still here")] * len(KINDS)


def move(service: Service, gateway: Gateway, uid: str) -> str:
    """Moves a user to another pod, and waits until requests reach it; returns its name."""
    pod = (service.get(f"game.{uid}")["spec"]["podIndex"] + 1) % 3
    service.client.patch(PodLink, f"game.{uid}", service.namespace, {"spec": {"podIndex": pod}})
    eventually(lambda: send_request(gateway.url, [("x-user-id", uid)]).pod == f"game-{pod}", "the user has moved")
    return f"game-{pod}"


@pytest.mark.parametrize("kind", [EXT_AUTHZ, NGINX, HAPROXY])
def test_web_socket_of_a_moved_user_stays_open(
    loop: LoopThread, fleet: GatewayFleet, service: Service, uid: str, kind: str
) -> None:
    gateway, moved = fleet.gateway(kind), f"{MOVED}{uid}"

    async def talk() -> tuple[str, str]:
        async with web_socket(gateway, [("x-user-id", moved)]) as (socket, pod):
            await asyncio.to_thread(move, service, gateway, moved)
            await socket.send_str("still here")
            return pod, await socket.receive_str(timeout=20)

    pod, answer = loop.run(talk())
    assert answer == "still here"
    assert pod != f"game-{service.get(f'game.{moved}')['spec']['podIndex']}"


def test_maximal_duration_closes_the_web_socket_of_a_moved_user(
    loop: LoopThread, fleet: GatewayFleet, service: Service, uid: str
) -> None:
    gateway, moved = fleet.gateway(LIMITED), f"{MOVED}{uid}"

    async def connect_again() -> tuple[str, str, str]:
        async with web_socket(gateway, [("x-user-id", moved)]) as (socket, before):
            expected = await asyncio.to_thread(move, service, gateway, moved)
            assert (await socket.receive(timeout=20)).type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR)
        async with web_socket(gateway, [("x-user-id", moved)]) as (_, after):
            return before, expected, after

    before, expected, after = loop.run(connect_again())
    assert before != expected == after


def test_no_request_reached_a_pod_that_its_user_is_not_linked_to(service: Service, kubelet: FakeKubelet) -> None:
    links = service.client.all(PodLink, service.namespace)
    pods = {link["spec"]["uid"]: link["spec"]["podIndex"] for link in links}
    arrivals = kubelet.arrivals()
    assert len(arrivals) > len(KINDS) * len(PROTOCOLS)
    assert [each for each in arrivals if not each.uid.startswith(MOVED) and pods[each.uid] != each.pod] == []


def test_tokens_of_users_are_not_sent_to_the_resolver(recorded: list[RecordedResolver]) -> None:
    received = b"".join(part for resolver in recorded for part in resolver.received)
    assert b"idle" in received
    assert OF_THE_USER.encode() not in received


def table() -> str:
    """Returns what is tested, each with each other, as a table of Markdown."""
    tested = {"gateways": KINDS, "protocols": PROTOCOLS, "authentication": Authentication}
    rows = [f"| {name} | {', '.join(each)} |" for name, each in tested.items()]
    return "\n".join(["| | |", "| --- | --- |", *rows])


def test_what_is_tested_is_in_the_documents() -> None:
    assert table() in DOCUMENT.read_text()
