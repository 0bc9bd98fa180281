"""Pods that are asked for their load: those that answer, and all the ways not to."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

import pytest

from statefulroute.api.statefulroute import HTTPLoad
from statefulroute.api.vocabulary import RoutingState
from statefulroute.cluster.load_client import MAX_BODY_BYTES, LoadClient, LoadUnreadableError
from statefulroute.domain.load import LoadResponse
from unit.cluster.fake_api import FakeAPI, eventually

HERE = "127.0.0.1"

Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


def written(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """An answer as it goes over the wire; the body's length is told unless the headers tell something else."""
    told = headers or (f"Content-Length: {len(body)}",)
    return "\r\n".join([f"HTTP/1.1 {status}", *told, "", ""]).encode() + body


GOOD = written(b'{"loadState": 3, "waitingTasks": 5, "routingState": "DenyNewCall"}')
ANSWER = LoadResponse(3, 5, RoutingState.DENY_NEW_CALL)


class Pod:
    """A server that reads one request a connection and then writes whatever its script says.

    Attributes:
        port: where it listens.
        requests: the heads of the requests that came.
        left: how many connections are over.
    """

    def __init__(self, script: Script | bytes) -> None:
        self.port = 0
        self.requests: list[str] = []
        self.left = 0
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
        self.left += 1
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
async def a_pod(script: Script | bytes, host: str = HERE) -> AsyncIterator[Pod]:
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
async def endpoints() -> AsyncIterator[LoadClient]:
    async with LoadClient() as endpoints:
        yield endpoints


def at(port: int, path: str = "/load", timeout_seconds: int = 5) -> HTTPLoad:
    return HTTPLoad(port=port, path=path, timeout_seconds=timeout_seconds)


def port_of(api: FakeAPI) -> int:
    return int(api.server.rpartition(":")[2])


async def refusal(endpoints: LoadClient, http: HTTPLoad, ip: str = HERE) -> str:
    """The sentence for a pod that does not answer with its load."""
    with pytest.raises(LoadUnreadableError) as refused:
        await endpoints.get_load(ip, http)
    return str(refused.value)


async def test_a_pod_is_asked_for_its_load(api: FakeAPI, endpoints: LoadClient) -> None:
    asking = asyncio.create_task(endpoints.get_load(HERE, at(port_of(api), "/state/load")))
    call = await api.call()
    assert (call.method, call.path, call.query, call.body) == ("GET", "/state/load", {}, b"")
    call.respond({"loadState": 3, "waitingTasks": 5, "routingState": "DenyNewCall"})
    assert await asking == ANSWER


async def test_a_request_says_who_asks_and_nothing_else(endpoints: LoadClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    cookie = GOOD.replace(b"\r\n", b"\r\nSet-Cookie: a=b\r\n", 1)
    async with a_pod(cookie) as pod:
        for _ in range(2):
            assert await endpoints.get_load(HERE, at(pod.port)) == ANSWER
            assert pod.headers == {
                "Host": f"127.0.0.1:{pod.port}",
                "User-Agent": f"statefulroute/{version('statefulroute')}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "Connection": "close",
            }


async def test_a_connection_is_for_one_request(endpoints: LoadClient) -> None:
    connections = 0

    async def keep_open(writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(GOOD)
        await writer.drain()
        await asyncio.Event().wait()

    async with a_pod(keep_open) as pod:
        for _ in range(3):
            await endpoints.get_load(HERE, at(pod.port))
        assert connections == 3


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_a_pod_may_have_an_ipv6_address(endpoints: LoadClient) -> None:
    async with a_pod(GOOD, "::1") as pod:
        assert await endpoints.get_load("::1", at(pod.port)) == ANSWER
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
    # The API server lets none of these through.
    "": "/",
    "load": "/load",
    "@evil.example/": "/%40evil.example/",
    "http://evil.example/": "/http%3A//evil.example/",
}


@pytest.mark.parametrize(("path", "sent"), PATHS.items(), ids=map(repr, PATHS))
async def test_a_path_is_taken_literally_and_leads_nowhere_else(endpoints: LoadClient, path: str, sent: str) -> None:
    async with a_pod(GOOD) as pod:
        assert await endpoints.get_load(HERE, at(pod.port, path)) == ANSWER
        assert pod.first_line == f"GET {sent} HTTP/1.1"
        assert pod.headers["Host"] == f"127.0.0.1:{pod.port}"


@pytest.mark.parametrize(
    "ip", ["", "localhost", "evil.example", "127.0.0.1:80", "127.0.0.1/x", "a@127.0.0.1", "[::1]", "1"]
)
async def test_what_is_no_address_is_not_asked(endpoints: LoadClient, ip: str) -> None:
    assert await refusal(endpoints, at(1), ip) == "has no IP address"


CHUNKED = "Transfer-Encoding: chunked"
DEEP = b'{"a":' + b"[" * (MAX_BODY_BYTES - 5)
JUST_TOO_LONG = GOOD.partition(b"\r\n\r\n")[2].ljust(MAX_BODY_BYTES + 1)
NO_LOAD = "returned an invalid load: "
TOO_LONG = "answered with more than 4096 bytes"
CUT = "closed the connection before its answer was complete"
NO_HTTP = "returned invalid HTTP"

ANSWERS = {
    "an error": (written(b"secret", "500 Oh No"), "answered with status 500"),
    "an error with a load": (GOOD.replace(b"200 OK", b"503 Busy"), "answered with status 503"),
    "another success": (GOOD.replace(b"200 OK", b"206 Partial Content"), "answered with status 206"),
    "nothing": (written(b"", "204 No Content", "X: y"), "answered with status 204"),
    "not modified": (written(b"", "304 Not Modified", "X: y"), "answered with status 304"),
    "another protocol": (written(b"", "101 Switching Protocols", "Upgrade: x"), "answered with status 101"),
    "not json": (written(b"secret"), f"{NO_LOAD}it must be a JSON object"),
    "no bytes": (written(b""), f"{NO_LOAD}it must be a JSON object"),
    "no load": (written(b"{}"), f"{NO_LOAD}it has neither loadState nor waitingTasks"),
    "brackets": (written(DEEP), f"{NO_LOAD}it must be a JSON object"),
    "gzip": (
        written(
            zipped := gzip.compress(b"secret"), "200 OK", f"Content-Length: {len(zipped)}", "Content-Encoding: gzip"
        ),
        f"{NO_LOAD}it must be a JSON object",
    ),
    "a byte too much": (written(JUST_TOO_LONG), TOO_LONG),
    "a byte too much, and its length not told": (written(JUST_TOO_LONG, "200 OK", "X: y"), TOO_LONG),
    "a byte too much in a chunk": (
        written(b"1001\r\n" + JUST_TOO_LONG + b"\r\n0\r\n\r\n", "200 OK", CHUNKED),
        TOO_LONG,
    ),
    "nothing at all": (b"", CUT),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Le", CUT),
    "half a body": (GOOD[:-5], CUT),
    "half a chunk": (written(b"ff\r\n{", "200 OK", CHUNKED), CUT),
    "no chunk": (written(b"secret\r\n", "200 OK", CHUNKED), NO_HTTP),
    "no http": (b"secret\r\n\r\n", NO_HTTP),
    "tls": (b"\x15\x03\x01\x00\x02\x02\x46", NO_HTTP),
    "a long header": (written(b"", "200 OK", "Secret: " + "x" * 100_000), NO_HTTP),
    "many headers": (written(b"", "200 OK", *(f"Secret-{n}: x" for n in range(1000))), NO_HTTP),
    "a bad length": (written(b"", "200 OK", "Content-Length: secret"), NO_HTTP),
}


@pytest.mark.parametrize(("answer", "sentence"), ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_that_is_no_load_is_told_by_a_sentence_that_repeats_nothing_of_it(
    endpoints: LoadClient, answer: bytes, sentence: str
) -> None:
    async with a_pod(answer) as pod:
        assert {await refusal(endpoints, at(pod.port)) for _ in range(3)} == {sentence}


async def test_an_answer_of_just_so_many_bytes_is_read(endpoints: LoadClient) -> None:
    async with a_pod(written(JUST_TOO_LONG[:-1])) as pod:
        assert await endpoints.get_load(HERE, at(pod.port)) == ANSWER


async def test_an_answer_may_come_in_pieces_and_without_its_length(endpoints: LoadClient) -> None:
    async def in_pieces(writer: asyncio.StreamWriter) -> None:
        for byte in GOOD.replace(b"Content-Length", b"Unknown-Length"):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    async with a_pod(in_pieces) as pod:
        assert await endpoints.get_load(HERE, at(pod.port)) == ANSWER


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirection_is_not_followed(endpoints: LoadClient, status: int) -> None:
    async with a_pod(GOOD) as other:
        there = f"Location: http://127.0.0.1:{other.port}/"
        async with a_pod(written(b"", f"{status} There", there, "Content-Length: 0")) as pod:
            assert await refusal(endpoints, at(pod.port)) == f"answered with status {status}"
        assert other.requests == []


async def flood(writer: asyncio.StreamWriter) -> None:
    """A body without an end, as fast as it is taken."""
    writer.write(written(b"", "200 OK", "Content-Type: application/json"))
    while True:
        writer.write(b" " * 65536)
        await writer.drain()


async def bomb(writer: asyncio.StreamWriter) -> None:
    """A body that would be a thousand times as long were it unpacked."""
    writer.write(written(gzip.compress(b" " * 2**24), "200 OK", "Content-Encoding: gzip", "X: y"))
    await writer.drain()


@pytest.mark.parametrize("script", [flood, bomb])
async def test_more_than_is_allowed_is_not_read(endpoints: LoadClient, script: Script) -> None:
    async with a_pod(script) as pod:
        assert await refusal(endpoints, at(pod.port)) == TOO_LONG
        await eventually(lambda: pod.left)


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def reset_within(writer: asyncio.StreamWriter) -> None:
    writer.write(GOOD[:-5])
    await writer.drain()
    writer.transport.abort()


@pytest.mark.parametrize("script", [reset, reset_within])
async def test_a_connection_that_is_closed_at_once_is_told(endpoints: LoadClient, script: Script) -> None:
    async with a_pod(script) as pod:
        assert await refusal(endpoints, at(pod.port)) == CUT


async def test_a_port_where_nobody_listens_is_told(endpoints: LoadClient) -> None:
    async with a_pod(GOOD) as pod:
        pass
    assert await refusal(endpoints, at(pod.port)) == "refused the connection"


async def test_an_address_that_cannot_be_reached_is_told(endpoints: LoadClient) -> None:
    # A broadcast address is nobody's for TCP: the kernel says so without asking the network.
    said = await refusal(endpoints, at(80), "255.255.255.255")
    assert said.startswith("could not be connected to: ")


async def silence(writer: asyncio.StreamWriter) -> None:
    del writer
    await asyncio.Event().wait()


async def trickle(writer: asyncio.StreamWriter) -> None:
    """A body that goes on, too slowly to be ever too long."""
    writer.write(written(b"", "200 OK", "Content-Type: application/json"))
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def promises(writer: asyncio.StreamWriter) -> None:
    """An answer that is always about to come."""
    while True:
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("script", [silence, trickle, promises])
async def test_a_pod_has_so_many_seconds_for_all_of_its_answer(script: Script) -> None:
    async with LoadClient(max_parallel=1) as endpoints, a_pod(script) as slow, a_pod(GOOD) as pod:
        assert await refusal(endpoints, at(slow.port, timeout_seconds=1)) == "did not answer within 1 s"
        assert await endpoints.get_load(HERE, at(pod.port)) == ANSWER


async def test_so_many_pods_are_asked_at_the_same_time(api: FakeAPI) -> None:
    async with LoadClient(max_parallel=2) as endpoints:
        asking = [asyncio.create_task(endpoints.get_load(HERE, at(port_of(api)))) for _ in range(5)]
        under_way = [await api.call(), await api.call()]
        for _ in range(3):
            await asyncio.sleep(0.05)
            assert api.has_no_calls
            under_way.pop(0).respond({"loadState": 1})
            under_way.append(await api.call())
        for call in under_way:
            call.respond({"loadState": 1})
        assert await asyncio.gather(*asking) == [LoadResponse(load_state=1)] * 5


async def test_the_wait_for_its_turn_is_not_counted_as_a_pods_time(api: FakeAPI) -> None:
    async with LoadClient(max_parallel=1) as endpoints:
        asking = [asyncio.create_task(endpoints.get_load(HERE, at(port_of(api), timeout_seconds=1))) for _ in range(4)]
        for _ in asking:
            call = await api.call()
            await asyncio.sleep(0.4)
            call.respond({"loadState": 1})
        assert await asyncio.gather(*asking) == [LoadResponse(load_state=1)] * 4


async def test_who_gives_up_makes_room(api: FakeAPI) -> None:
    async with LoadClient(max_parallel=1) as endpoints:
        asking = asyncio.create_task(endpoints.get_load(HERE, at(port_of(api))))
        await api.call()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        again = asyncio.create_task(endpoints.get_load(HERE, at(port_of(api))))
        (await api.call()).respond({"loadState": 1})
        assert await again == LoadResponse(load_state=1)
