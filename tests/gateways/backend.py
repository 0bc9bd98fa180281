"""The server in a pod: logs every request to a file, and echoes it with the name of the pod.

python backend.py IP PORT NAME FILE

One port serves HTTP/1.1, with server-sent events and WebSockets, and gRPC over HTTP/2.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from aiohttp import web

#: The header with the number of a request, which identifies it in the logs of client and pod.
NUMBER = "x-number"

#: The header with the user of a request.
UID = "x-user-id"

#: The path of server-sent events, and the path of which each request sends one to the streams of its user.
EVENTS, PUBLISH = "/events", "/publish"

#: The gRPC service. Each message of a response is the name of the pod, or a message of the request.
SERVICE = "echo.Echo"

_PREFACE = b"PRI"
_BACKLOG = 4096


class EchoServer:
    """The application.

    Args:
        name: the name of the pod.
        log: the file for the requests: time, number and user of each.
    """

    def __init__(self, name: str, log: TextIO) -> None:
        self._name = name
        self._log = log
        self._streams: dict[str, set[asyncio.Queue[str]]] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = request.headers
        self.record(headers)
        if headers.get("upgrade", "").lower() == "websocket":
            return await self._echo_websocket(request)
        if "upgrade" in headers:
            return await self._switch_protocol(request)
        if request.path == EVENTS:
            return await self._send_events(request)
        if request.path == PUBLISH:
            for queue in self._streams.get(headers.get(UID, ""), ()):
                queue.put_nowait("published")
        received = [[name.lower(), value] for name, value in headers.items()]
        echo = {"pod": self._name, "headers": received, "bytes": len(await request.read())}
        return web.json_response(echo, headers={"x-pod": self._name})

    def record(self, headers: Mapping[str, str]) -> None:
        entry = (f"{time.monotonic():.6f}", headers.get(NUMBER, "-"), headers.get(UID, "-"))
        self._log.write("\t".join(entry) + "\n")
        self._log.flush()

    async def _echo_websocket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(self._name)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    async def _switch_protocol(self, request: web.Request) -> web.StreamResponse:
        """Accepts any protocol, as a server does that supports HTTP/2 without TLS; answers each piece with its name."""
        assert request.transport is not None
        protocol = request.headers["upgrade"]
        head = f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
        tunnel = Tunnel(self._name)
        tunnel.connection_made(request.transport)
        request.transport.set_protocol(tunnel)
        request.transport.write(head.encode())
        await tunnel.lost.wait()
        return web.Response()

    async def _send_events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "x-pod": self._name})
        await response.prepare(request)
        queue: asyncio.Queue[str] = asyncio.Queue()
        queue.put_nowait(self._name)
        queues = self._streams.setdefault(request.headers.get(UID, ""), set())
        queues.add(queue)
        try:
            while True:
                await response.write(f"data: {await queue.get()}\n\n".encode())
        finally:
            queues.discard(queue)

    async def unary(self, message: bytes, context: Any) -> bytes:
        self.record(dict(context.invocation_metadata()))
        return f"{self._name} {message.decode()}".encode()

    async def stream_response(self, message: bytes, context: Any) -> None:
        """Sends the name, then each letter of the request, or after an empty request what is published."""
        self.record(dict(context.invocation_metadata()))
        await context.write(self._name.encode())
        for letter in message.decode():
            await context.write(letter.encode())

    async def stream_request(self, messages: Any, context: Any) -> bytes:
        self.record(dict(context.invocation_metadata()))
        received = b"".join([message async for message in messages])
        return f"{self._name} {received.decode()}".encode()

    async def stream_both(self, messages: Any, context: Any) -> None:
        self.record(dict(context.invocation_metadata()))
        await context.write(self._name.encode())
        async for message in messages:
            await context.write(message)


class Connection(asyncio.Protocol):
    """A connection of unknown protocol: passes it to aiohttp, or its bytes to the gRPC server.

    Args:
        http: the protocol factory of aiohttp.
        grpc: starts the gRPC server if necessary, and returns its address.
    """

    def __init__(self, http: web.Server, grpc: "LazyGrpcServer") -> None:
        self._http = http
        self._grpc = grpc
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) < len(_PREFACE):
            return
        if self._received.startswith(_PREFACE):
            self._transport.pause_reading()
            self._piping = asyncio.create_task(self._pipe())
            return
        protocol = self._http()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(self._received)

    async def _pipe(self) -> None:
        loop, address = asyncio.get_running_loop(), await self._grpc.address()
        upstream = Pipe(self._transport)
        transport, _ = await loop.create_connection(lambda: upstream, *address)
        transport.write(self._received)
        self._transport.set_protocol(Pipe(transport))
        self._transport.resume_reading()


class Tunnel(asyncio.Protocol):
    """Answers whatever it receives with the name of the pod.

    Args:
        name: the name of the pod.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(f"{self._name} received {data!r}".encode())

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self.lost.set()


class Pipe(asyncio.Protocol):
    """Writes what it receives to another connection."""

    def __init__(self, other: asyncio.Transport) -> None:
        self._other = other

    def data_received(self, data: bytes) -> None:
        self._other.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self._other.close()


class LazyGrpcServer:
    """A gRPC server that starts with its first call, because gRPC is slow to import."""

    def __init__(self, echo: EchoServer, ip: str) -> None:
        self._echo = echo
        self._ip = ip
        self._started: asyncio.Task[int] | None = None

    async def address(self) -> tuple[str, int]:
        if self._started is None:
            self._started = asyncio.create_task(self._start())
        return self._ip, await self._started

    async def _start(self) -> int:
        import grpc  # noqa: PLC0415 - see above

        methods = {
            "Unary": grpc.unary_unary_rpc_method_handler(self._echo.unary),
            "StreamResponse": grpc.unary_stream_rpc_method_handler(self._echo.stream_response),
            "StreamRequest": grpc.stream_unary_rpc_method_handler(self._echo.stream_request),
            "StreamBoth": grpc.stream_stream_rpc_method_handler(self._echo.stream_both),
        }
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
        port: int = self._server.add_insecure_port(f"{self._ip}:0")
        await self._server.start()
        return port


async def serve(echo: EchoServer, ip: str, port: int) -> None:
    application = web.Application(client_max_size=2**26)
    application.router.add_route("*", "/{path:.*}", echo.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    assert runner.server is not None
    http, grpc = runner.server, LazyGrpcServer(echo, ip)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(lambda: Connection(http, grpc), ip, port, backlog=_BACKLOG)
    await stop.wait()
    server.close()
    await runner.cleanup()


def main() -> None:
    ip, port, name, file = sys.argv[1:]
    with Path(file).open("a", encoding="utf-8") as log:
        asyncio.run(serve(EchoServer(name, log), ip, int(port)))


if __name__ == "__main__":
    main()
