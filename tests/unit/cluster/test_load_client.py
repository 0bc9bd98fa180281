"""The load client reads the load of pods, and reports every kind of invalid response."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

import pytest

from statefulroute.api.load import HTTPLoad
from statefulroute.api.vocabulary import RoutingState
from statefulroute.cluster.load_client import MAX_BODY_BYTES, LoadClient, LoadUnreadableError
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.load import LoadResponse
from unit.cluster.fake_api import FakeAPI, eventually

LOCALHOST = "127.0.0.1"
GAME = RouteKey("play", "game")

Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


def http_response(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Returns a response in bytes; it has a Content-Length unless other headers are given."""
    all_headers = headers or (f"Content-Length: {len(body)}",)
    return "\r\n".join([f"HTTP/1.1 {status}", *all_headers, "", ""]).encode() + body


GOOD = http_response(b'{"loadState": 3, "waitingTasks": 5, "routingState": "DenyNewCall"}')
LOAD = LoadResponse(3, 5, RoutingState.DENY_NEW_CALL)


class Pod:
    """A server that reads one request per connection and then runs its script.

    Attributes:
        port: the port that it listens on.
        requests: the headers of the received requests.
        closed: the number of closed connections.
    """

    def __init__(self, script: Script | bytes) -> None:
        self.port = 0
        self.requests: list[str] = []
        self.closed = 0
        self._script = script
        self._open: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._answer(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        await asyncio.wait([task])

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            if isinstance(self._script, bytes):
                writer.write(self._script)
                await writer.drain()
            else:
                await self._script(writer)
        self.closed += 1
        writer.close()

    async def close(self) -> None:
        for task in self._open:
            task.cancel()
        while self._open:
            await asyncio.wait(self._open)

    @property
    def first_line(self) -> str:
        """The first line of the only request."""
        assert len(self.requests) == 1
        return self.requests[0].split("\r\n")[0]

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the last request."""
        lines = self.requests[-1].split("\r\n")[1:]
        return dict(line.split(": ", 1) for line in lines if line)


@asynccontextmanager
async def a_pod(script: Script | bytes, host: str = LOCALHOST) -> AsyncIterator[Pod]:
    pod = Pod(script)
    server = await asyncio.start_server(pod.serve, host, 0)
    pod.port = server.sockets[0].getsockname()[1]
    try:
        yield pod
    finally:
        server.close()
        await pod.close()
        await server.wait_closed()


@pytest.fixture
async def client() -> AsyncIterator[LoadClient]:
    async with LoadClient() as client:
        yield client


def at(port: int, path: str = "/load", timeout_seconds: int = 5) -> HTTPLoad:
    return HTTPLoad(port=port, path=path, timeout_seconds=timeout_seconds)


def port_of(api: FakeAPI) -> int:
    return int(api.server.rpartition(":")[2])


async def error_message(client: LoadClient, http: HTTPLoad, ip: str = LOCALHOST) -> str:
    """Returns the error message for a pod that does not return its load."""
    with pytest.raises(LoadUnreadableError) as raised:
        await client.get_load(ip, http, GAME)
    return str(raised.value)


async def test_the_load_of_a_pod_is_read(api: FakeAPI, client: LoadClient) -> None:
    request = asyncio.create_task(client.get_load(LOCALHOST, at(port_of(api), "/state/load"), GAME))
    call = await api.call()
    assert (call.method, call.path, call.query, call.body) == ("GET", "/state/load", {}, b"")
    call.respond({"loadState": 3, "waitingTasks": 5, "routingState": "DenyNewCall"})
    assert await request == LOAD


async def test_a_request_has_the_user_agent_and_no_credentials(
    client: LoadClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    cookie = GOOD.replace(b"\r\n", b"\r\nSet-Cookie: a=b\r\n", 1)
    async with a_pod(cookie) as pod:
        for _ in range(2):
            assert await client.get_load(LOCALHOST, at(pod.port), GAME) == LOAD
            assert pod.headers == {
                "Host": f"127.0.0.1:{pod.port}",
                "User-Agent": f"statefulroute/{version('statefulroute')}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "Connection": "close",
            }


async def test_each_request_has_its_own_connection(client: LoadClient) -> None:
    connections = 0

    async def keep_open(writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(GOOD)
        await writer.drain()
        await asyncio.Event().wait()

    async with a_pod(keep_open) as pod:
        for _ in range(3):
            await client.get_load(LOCALHOST, at(pod.port), GAME)
        assert connections == 3


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_a_pod_may_have_an_ipv6_address(client: LoadClient) -> None:
    async with a_pod(GOOD, "::1") as pod:
        assert await client.get_load("::1", at(pod.port), GAME) == LOAD
        assert pod.headers["Host"] == f"[::1]:{pod.port}"


PATHS = {
    "/": "/",
    "/a/b-c_d.e~f": "/a/b-c_d.e~f",
    "//evil.example/": "//evil.example/",
    "///": "///",
    "/@evil.example/": "/%40evil.example/",
    "/:1/": "/%3A1/",
    "/../../x": "/../../x",
    "/a/./b": "/a/./b",
    "/a?b=c&d": "/a%3Fb%3Dc%26d",
    "/a#b": "/a%23b",
    "/a%2f..%00": "/a%252f..%2500",
    "/a b": "/a%20b",
    "/ HTTP/1.1\r\nHost: evil.example\r\n\r\n": "/%20HTTP/1.1%0D%0AHost%3A%20evil.example%0D%0A%0D%0A",
    "/\\evil.example": "/%5Cevil.example",
    "/ü\0": "/%C3%BC%00",
    "/http://evil.example/": "/http%3A//evil.example/",
    # The API server refuses these.
    "": "/",
    "load": "/load",
    "@evil.example/": "/%40evil.example/",
    "http://evil.example/": "/http%3A//evil.example/",
}


@pytest.mark.parametrize(("path", "sent"), PATHS.items(), ids=map(repr, PATHS))
async def test_a_path_is_quoted_and_cannot_change_the_host(client: LoadClient, path: str, sent: str) -> None:
    async with a_pod(GOOD) as pod:
        assert await client.get_load(LOCALHOST, at(pod.port, path), GAME) == LOAD
        assert pod.first_line == f"GET {sent} HTTP/1.1"
        assert pod.headers["Host"] == f"127.0.0.1:{pod.port}"


@pytest.mark.parametrize(
    "ip", ["", "localhost", "evil.example", "127.0.0.1:80", "127.0.0.1/x", "a@127.0.0.1", "[::1]", "1"]
)
async def test_no_request_is_sent_to_an_invalid_address(client: LoadClient, ip: str) -> None:
    assert await error_message(client, at(1), ip) == "has no IP address"


CHUNKED = "Transfer-Encoding: chunked"
DEEP = b'{"a":' + b"[" * (MAX_BODY_BYTES - 5)
JUST_TOO_LONG = GOOD.partition(b"\r\n\r\n")[2].ljust(MAX_BODY_BYTES + 1)
INVALID_LOAD = "returned an invalid load: "
TOO_LONG = "answered with more than 4096 bytes"
CUT = "closed the connection before its answer was complete"
INVALID_HTTP = "returned invalid HTTP"

RESPONSES = {
    "an error": (http_response(b"secret", "500 Oh No"), "answered with status 500"),
    "an error with a load": (GOOD.replace(b"200 OK", b"503 Busy"), "answered with status 503"),
    "another success status": (GOOD.replace(b"200 OK", b"206 Partial Content"), "answered with status 206"),
    "no content": (http_response(b"", "204 No Content", "X: y"), "answered with status 204"),
    "not modified": (http_response(b"", "304 Not Modified", "X: y"), "answered with status 304"),
    "another protocol": (http_response(b"", "101 Switching Protocols", "Upgrade: x"), "answered with status 101"),
    "not json": (http_response(b"secret"), f"{INVALID_LOAD}it must be a JSON object"),
    "an empty body": (http_response(b""), f"{INVALID_LOAD}it must be a JSON object"),
    "without a load": (http_response(b"{}"), f"{INVALID_LOAD}it has neither loadState nor waitingTasks"),
    "deeply nested JSON": (http_response(DEEP), f"{INVALID_LOAD}it must be a JSON object"),
    "gzip": (
        http_response(
            compressed := gzip.compress(b"secret"),
            "200 OK",
            f"Content-Length: {len(compressed)}",
            "Content-Encoding: gzip",
        ),
        f"{INVALID_LOAD}it must be a JSON object",
    ),
    "a byte too long": (http_response(JUST_TOO_LONG), TOO_LONG),
    "a byte too long, without a length": (http_response(JUST_TOO_LONG, "200 OK", "X: y"), TOO_LONG),
    "a byte too long, in a chunk": (
        http_response(b"1001\r\n" + JUST_TOO_LONG + b"\r\n0\r\n\r\n", "200 OK", CHUNKED),
        TOO_LONG,
    ),
    "no response": (b"", CUT),
    "half of the headers": (b"HTTP/1.1 200 OK\r\nContent-Le", CUT),
    "half of the body": (GOOD[:-5], CUT),
    "half of a chunk": (http_response(b"ff\r\n{", "200 OK", CHUNKED), CUT),
    "an invalid chunk": (http_response(b"secret\r\n", "200 OK", CHUNKED), INVALID_HTTP),
    "not HTTP": (b"secret\r\n\r\n", INVALID_HTTP),
    "tls": (b"\x15\x03\x01\x00\x02\x02\x46", INVALID_HTTP),
    "a long header": (http_response(b"", "200 OK", "Secret: " + "x" * 100_000), INVALID_HTTP),
    "many headers": (http_response(b"", "200 OK", *(f"Secret-{n}: x" for n in range(1000))), INVALID_HTTP),
    "a bad length": (http_response(b"", "200 OK", "Content-Length: secret"), INVALID_HTTP),
}


@pytest.mark.parametrize(("response", "message"), RESPONSES.values(), ids=RESPONSES)
async def test_an_invalid_response_is_reported_without_its_content(
    client: LoadClient, response: bytes, message: str
) -> None:
    async with a_pod(response) as pod:
        assert {await error_message(client, at(pod.port)) for _ in range(3)} == {message}


async def test_a_response_of_the_maximum_size_is_read(client: LoadClient) -> None:
    async with a_pod(http_response(JUST_TOO_LONG[:-1])) as pod:
        assert await client.get_load(LOCALHOST, at(pod.port), GAME) == LOAD


async def test_a_response_may_arrive_in_pieces_and_without_a_length(client: LoadClient) -> None:
    async def in_pieces(writer: asyncio.StreamWriter) -> None:
        for byte in GOOD.replace(b"Content-Length", b"Unknown-Length"):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    async with a_pod(in_pieces) as pod:
        assert await client.get_load(LOCALHOST, at(pod.port), GAME) == LOAD


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(client: LoadClient, status: int) -> None:
    async with a_pod(GOOD) as other:
        location = f"Location: http://127.0.0.1:{other.port}/"
        async with a_pod(http_response(b"", f"{status} There", location, "Content-Length: 0")) as pod:
            assert await error_message(client, at(pod.port)) == f"answered with status {status}"
        assert other.requests == []


async def flood(writer: asyncio.StreamWriter) -> None:
    """Writes an endless body as fast as possible."""
    writer.write(http_response(b"", "200 OK", "Content-Type: application/json"))
    while True:
        writer.write(b" " * 65536)
        await writer.drain()


async def bomb(writer: asyncio.StreamWriter) -> None:
    """Writes a body that decompresses to a thousand times its size."""
    writer.write(http_response(gzip.compress(b" " * 2**24), "200 OK", "Content-Encoding: gzip", "X: y"))
    await writer.drain()


@pytest.mark.parametrize("script", [flood, bomb])
async def test_a_response_above_the_maximum_size_is_not_read(client: LoadClient, script: Script) -> None:
    async with a_pod(script) as pod:
        assert await error_message(client, at(pod.port)) == TOO_LONG
        await eventually(lambda: pod.closed)


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def reset_within(writer: asyncio.StreamWriter) -> None:
    writer.write(GOOD[:-5])
    await writer.drain()
    writer.transport.abort()


@pytest.mark.parametrize("script", [reset, reset_within])
async def test_a_reset_connection_is_reported(client: LoadClient, script: Script) -> None:
    async with a_pod(script) as pod:
        assert await error_message(client, at(pod.port)) == CUT


async def test_a_closed_port_is_reported(client: LoadClient) -> None:
    async with a_pod(GOOD) as pod:
        pass
    assert await error_message(client, at(pod.port)) == "refused the connection"


async def test_an_unreachable_address_is_reported(client: LoadClient) -> None:
    # The kernel refuses TCP connections to a broadcast address without using the network.
    message = await error_message(client, at(80), "255.255.255.255")
    assert message.startswith("could not be connected to: ")


async def silence(writer: asyncio.StreamWriter) -> None:
    del writer
    await asyncio.Event().wait()


async def trickle(writer: asyncio.StreamWriter) -> None:
    """Writes an endless body, so slowly that it never becomes too long."""
    writer.write(http_response(b"", "200 OK", "Content-Type: application/json"))
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def informational(writer: asyncio.StreamWriter) -> None:
    """Sends informational responses forever."""
    while True:
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("script", [silence, trickle, informational])
async def test_the_timeout_applies_to_the_whole_response(script: Script) -> None:
    async with LoadClient(max_parallel=1) as client, a_pod(script) as slow, a_pod(GOOD) as pod:
        assert await error_message(client, at(slow.port, timeout_seconds=1)) == "did not answer within 1 s"
        assert await client.get_load(LOCALHOST, at(pod.port), GAME) == LOAD


async def test_the_number_of_parallel_requests_is_limited(api: FakeAPI) -> None:
    async with LoadClient(max_parallel=2) as client:
        routes = [RouteKey(f"play-{number}", "game") for number in range(5)]
        requests = [asyncio.create_task(client.get_load(LOCALHOST, at(port_of(api)), route)) for route in routes]
        in_progress = [await api.call(), await api.call()]
        for _ in range(3):
            await asyncio.sleep(0.05)
            assert api.has_no_calls
            in_progress.pop(0).respond({"loadState": 1})
            in_progress.append(await api.call())
        for call in in_progress:
            call.respond({"loadState": 1})
        assert await asyncio.gather(*requests) == [LoadResponse(load_state=1)] * 5


async def test_the_wait_for_a_free_slot_does_not_count_towards_the_timeout(api: FakeAPI) -> None:
    async with LoadClient(max_parallel=1) as client:
        requests = [
            asyncio.create_task(client.get_load(LOCALHOST, at(port_of(api), timeout_seconds=2), GAME)) for _ in range(4)
        ]
        for _ in requests:
            call = await api.call()
            await asyncio.sleep(0.7)
            call.respond({"loadState": 1})
        assert await asyncio.gather(*requests) == [LoadResponse(load_state=1)] * 4


async def test_a_cancelled_request_frees_its_slot(api: FakeAPI) -> None:
    async with LoadClient(max_parallel=1) as client:
        request = asyncio.create_task(client.get_load(LOCALHOST, at(port_of(api)), GAME))
        await api.call()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        next_request = asyncio.create_task(client.get_load(LOCALHOST, at(port_of(api)), GAME))
        (await api.call()).respond({"loadState": 1})
        assert await next_request == LoadResponse(load_state=1)


@pytest.mark.parametrize("same_namespace", [True, False])
async def test_routes_whose_pods_hang_leave_requests_for_another_route(same_namespace: bool) -> None:
    async with LoadClient(max_parallel=64) as client, a_pod(silence) as hanging, a_pod(GOOD) as pod:
        requests = [
            asyncio.create_task(client.get_load(LOCALHOST, at(hanging.port, timeout_seconds=60), route))
            for number in range(4)
            for route in [RouteKey("play" if same_namespace else f"play-{number}", f"game-{number}")]
            for _ in range(100)
        ]
        await eventually(lambda: len(hanging.requests) >= 24)
        for route in (RouteKey("play", "another"), RouteKey("other", "game")):
            async with asyncio.timeout(5):
                assert await client.get_load(LOCALHOST, at(pod.port), route) == LOAD
        assert len(hanging.requests) < 64
        for request in requests:
            request.cancel()
        await asyncio.wait(requests)
        assert await client.get_load(LOCALHOST, at(pod.port), GAME) == LOAD
