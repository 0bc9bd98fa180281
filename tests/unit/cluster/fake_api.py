"""A fake API server: each request becomes a call, and the test decides when and how to respond."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

#: The maximum time that a test waits for an expected event.
TIMEOUT_SECONDS = 10.0


def as_bytes(body: object) -> bytes:
    """Encodes a body: bytes stay, text is encoded, any other value becomes JSON."""
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


class Stream:
    """The response to a watch, written piece by piece."""

    def __init__(self, call: "Call", response: web.StreamResponse) -> None:
        self._call = call
        self._response = response

    async def send(self, *events: object) -> None:
        """Writes events, one per line."""
        for event in events:
            await self.write(as_bytes(event) + b"\n")

    async def write(self, data: bytes) -> None:
        """Writes bytes."""
        await self._response.write(data)

    def end(self) -> None:
        """Ends the response as the API server does at the watch's timeout."""
        self._call.response.set_result(self._response)

    @property
    def is_disconnected(self) -> bool:
        """Whether the client has closed the connection."""
        return self._call.is_disconnected

    def disconnect(self) -> None:
        """Closes the connection."""
        self._call.disconnect()


class Call:
    """A request that waits for its response."""

    def __init__(self, request: web.Request, body: bytes) -> None:
        self.method = request.method
        self.path = request.path
        self.query = dict(request.query)
        self.headers = request.headers
        self.body = body
        self.response: asyncio.Future[web.StreamResponse] = asyncio.get_running_loop().create_future()
        self._request = request

    @property
    def is_watch(self) -> bool:
        """Whether the request is a watch, and not a list."""
        return self.query.get("watch") == "true"

    @property
    def json(self) -> Any:
        """The body, decoded from JSON."""
        return json.loads(self.body)

    def respond(
        self,
        body: object = b"",
        status: int = 200,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Sends a complete response."""
        self.response.set_result(
            web.Response(body=as_bytes(body), status=status, content_type=content_type, headers=headers)
        )

    def redirect(self, path: str) -> None:
        """Responds with a redirect that keeps the method."""
        self.response.set_result(web.Response(status=307, headers={"Location": path}))

    def respond_error(self, status: int, reason: str = "", message: str = "", **headers: str) -> None:
        """Responds with an error, as the API server does; `retry_after` is the header `Retry-After`."""
        named = {name.replace("_", "-").title(): value for name, value in headers.items()}
        self.respond(status_object(status, reason, message), status, headers=named)

    async def stream(self, *events: object) -> Stream:
        """Starts a streaming response with some events."""
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(self._request)
        stream = Stream(self, response)
        await stream.send(*events)
        return stream

    @property
    def is_disconnected(self) -> bool:
        """Whether the client has closed the connection."""
        return self._request.transport is None or self._request.transport.is_closing()

    def disconnect(self) -> None:
        """Closes the connection without a response, or in the middle of one."""
        if self._request.transport is not None:
            self._request.transport.close()
        self.response.cancel()


class FakeAPI:
    """The calls of a server, in the order of their arrival."""

    def __init__(self) -> None:
        self.server = ""
        self._calls: asyncio.Queue[Call] = asyncio.Queue()
        self._open: list[Call] = []

    async def call(self) -> Call:
        """Returns the next request."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await self._calls.get()

    @property
    def has_no_calls(self) -> bool:
        """Whether the test has received every request."""
        return self._calls.empty()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        call = Call(request, await request.read())
        self._open.append(call)
        self._calls.put_nowait(call)
        return await call.response

    def close(self) -> None:
        """Cancels all open calls."""
        for call in self._open:
            call.response.cancel()


@asynccontextmanager
async def run_fake_api(tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeAPI]:
    """Runs a server on a free port, with TLS if a context is given."""
    api = FakeAPI()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        port = runner.addresses[0][1]
        api.server = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        yield api
    finally:
        api.close()
        await runner.cleanup()


async def eventually(condition: Callable[[], object]) -> None:
    """Waits until a condition holds."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110 - the condition has no event
            await asyncio.sleep(0.001)


def status_object(code: int, reason: str, message: str) -> dict[str, Any]:
    """Returns an error of the API server."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }
