"""Clients of a service behind a gateway in each protocol that users speak."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar

import aiohttp
import grpc

from gateways.backend import EVENTS, SERVICE
from localgateways.processes import Gateway

#: The headers of a user's request: their names are in lower case, as gRPC requires.
Headers = Sequence[tuple[str, str]]

_SECONDS = 20.0

_T = TypeVar("_T")


@asynccontextmanager
async def web_socket(gateway: Gateway, headers: Headers) -> AsyncIterator[tuple[aiohttp.ClientWebSocketResponse, str]]:
    """Opens a WebSocket; yields it and the name of its pod."""
    async with session() as http, http.ws_connect(gateway.url, headers=[*headers]) as socket:
        yield socket, await socket.receive_str(timeout=_SECONDS)


@asynccontextmanager
async def events(gateway: Gateway, headers: Headers) -> AsyncIterator[tuple[Callable[[], Awaitable[str]], str]]:
    """Opens server-sent events; yields a function that waits for the next one, and the name of the pod."""
    async with session() as http, http.get(gateway.url + EVENTS, headers=[*headers]) as response:
        assert response.status == 200, await response.text()

        async def next_event() -> str:
            lines = [await response.content.readline() for _ in range(2)]
            return lines[0].decode().removeprefix("data: ").strip()

        yield next_event, await next_event()


class GrpcClient:
    """Calls the service of the pods over gRPC.

    Args:
        channel: the channel to the gateway.
        headers: the metadata of each call.
    """

    def __init__(self, channel: grpc.aio.Channel, headers: Headers) -> None:
        self._channel = channel
        self._headers = headers

    @classmethod
    @asynccontextmanager
    async def connected(cls, gateway: Gateway, headers: Headers) -> AsyncIterator[Self]:
        """Connects to a gateway while the context lasts."""
        # One connection for each client: otherwise clients of the same address share one.
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(gateway.grpc, options=options) as channel:
            yield cls(channel, headers)

    async def unary(self, message: str) -> tuple[str, str]:
        """Sends a message; returns the name of the pod, and the message that it received."""
        call = self._channel.unary_unary(f"/{SERVICE}/Unary")
        pod, _, echo = (await call(message.encode(), metadata=self._headers, timeout=_SECONDS)).decode().partition(" ")
        return pod, echo

    async def stream_response(self, message: str) -> list[str]:
        """Returns the name of the pod, and each letter of the message."""
        call = self._channel.unary_stream(f"/{SERVICE}/StreamResponse")
        return [part.decode() async for part in call(message.encode(), metadata=self._headers, timeout=_SECONDS)]

    async def stream_request(self, messages: Sequence[str]) -> tuple[str, str]:
        """Returns the name of the pod, and the joined messages."""
        call = self._channel.stream_unary(f"/{SERVICE}/StreamRequest")
        parts = [message.encode() for message in messages]
        answer = (await call(iter(parts), metadata=self._headers, timeout=_SECONDS)).decode()
        pod, _, echo = answer.partition(" ")
        return pod, echo

    def stream_both(self) -> Any:
        """Opens a stream of messages in both directions; the first response is the name of the pod."""
        return self._channel.stream_stream(f"/{SERVICE}/StreamBoth")(metadata=self._headers)


def session() -> aiohttp.ClientSession:
    """Returns an HTTP client without a limit of connections, and without a time limit for streams."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_SECONDS)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)


async def by_http(gateway: Gateway, headers: Headers) -> set[str]:
    """Returns the pods that answered a user's requests; checks that they received the headers of the user only."""
    async with session() as http:
        pods = set()
        # gRPC-Web is HTTP/1.1, unlike gRPC.
        for method, body, kind in (("GET", b"", "text/plain"), ("POST", b"x" * 100_000, "application/grpc-web+proto")):
            sent = [*headers, ("content-type", kind)]
            async with http.request(method, f"{gateway.url}/a%2Fb?c=1", headers=sent, data=body) as response:
                assert response.status == 200, await response.text()
                echo = await response.json()
            pod = response.headers["x-pod"]
            assert echo["bytes"] == len(body)
            assert ["authorization", dict(headers)["authorization"]] in echo["headers"]
            assert {value for name, value in echo["headers"] if name == "x-statefulroute-pod"} <= {pod}
            pods.add(pod)
    return pods


async def by_events(gateway: Gateway, headers: Headers) -> set[str]:
    """Returns the pod that sent a user's events."""
    async with events(gateway, headers) as (_, pod):
        return {pod}


async def by_web_socket(gateway: Gateway, headers: Headers) -> set[str]:
    """Returns the pod at a user's WebSocket."""
    async with web_socket(gateway, headers) as (socket, pod):
        await socket.send_str("hello")
        assert await socket.receive_str(timeout=_SECONDS) == "hello"
        return {pod}


async def by_grpc(gateway: Gateway, headers: Headers) -> set[str]:
    """Returns the pods that answered a user's gRPC calls of each kind."""
    async with GrpcClient.connected(gateway, headers) as client:
        unary, echo = await client.unary("hello")
        assert echo == "hello"
        streaming, *letters = await client.stream_response("abc")
        assert letters == ["a", "b", "c"]
        streamed, joined = await client.stream_request(["a", "b", "c"])
        assert joined == "abc"
        call = client.stream_both()
        pods = {unary, streaming, streamed, (await call.read()).decode()}
        for message in (b"one", b"two"):
            await call.write(message)
            assert await call.read() == message
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        return pods


#: What sends the requests of a user in each protocol, and returns the pods that answered.
PROTOCOLS: Mapping[str, Callable[[Gateway, Headers], Coroutine[Any, Any, set[str]]]] = {
    "HTTP": by_http,
    "server-sent events": by_events,
    "WebSocket": by_web_socket,
    "gRPC": by_grpc,
}


class LoopThread:
    """Runs an event loop in a thread, so that connections stay open from one test to another."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.run(_cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, _T], seconds: float = 120.0) -> _T:
        """Runs a coroutine in the loop; returns its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
