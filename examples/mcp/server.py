"""An MCP server with state: each notebook is in the memory of one pod, to which its handle is linked.

A gateway that asks the resolver sends each request about a notebook to its pod, by one of two headers:

- Mcp-Param-Notebook, from clients of 2026-07-28: the tools have the handle as an argument with this header.
- Mcp-Session-Id, from older clients: a session has one notebook, and the session's id is its handle.

Other requests, such as the first one of a client, go to any pod.
"""

import argparse
import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import aiohttp
import uvicorn
from mcp.server import MCPServer
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.inbound import decode_header_value
from notebooks import Notebook, Notebooks
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from statefulroute import Address, Configuration, HandOverConfiguration, ServerDriver, StatefulRouteError

SESSION, PARAMETER = "mcp-session-id", "mcp-param-notebook"

#: These concern a connection, and not the request that is passed on by another one.
HOP_BY_HOP = frozenset({"connection", "content-length", "expect", "host", "keep-alive", "te", "transfer-encoding"})

#: A call that is passed on may take any time, as if it had come to the right pod.
PASS_ON_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5)

#: An argument whose value clients of 2026-07-28 send as the header Mcp-Param-Notebook, too.
Handle = Annotated[
    str, Field(description="What open_notebook has returned.", json_schema_extra={"x-mcp-header": "Notebook"})
]


class Opened(BaseModel):
    """A new notebook, and the pod that has it."""

    notebook: str
    pod: str


class Written(BaseModel):
    """The number of lines of a notebook, and the pod that has it."""

    number: int
    pod: str


class Contents(BaseModel):
    """The lines of a notebook, and the pod that has it."""

    lines: list[str]
    pod: str


def handle_of(headers: Mapping[str, str]) -> str | None:
    """Returns the handle that a request names, as the resolver reads it; None if it names none."""
    return decode_header_value(headers.get(PARAMETER)) or headers.get(SESSION)


# The tools.


def make_server(notebooks: Notebooks) -> MCPServer[Any]:
    """Returns the MCP server of the notebooks."""

    async def begin_session(context: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Opens the notebook of an older client; `_send_with_session` makes its handle the id of the session."""
        result = await call_next(context)
        if context.method == "initialize" and context.request is not None:
            context.request.state.session = await notebooks.open()
        return result

    server: MCPServer[Any] = MCPServer("notebooks", log_level="WARNING", middleware=[begin_session])

    @server.tool()
    async def open_notebook(context: Context[Any, Any]) -> Opened:
        """Opens a notebook without lines. The other tools need its handle."""
        session = (context.headers or {}).get(SESSION, "")
        is_here = notebooks.get(session) is not None  # that of an older client
        return Opened(notebook=session if is_here else await notebooks.open(), pod=notebooks.pod)

    @server.tool()
    async def add_line(context: Context[Any, Any], notebook: Handle, line: str) -> Written:
        """Adds a line to a notebook."""
        found = find(context, notebook)
        found.lines.append(line)
        return Written(number=len(found.lines), pod=notebooks.pod)

    @server.tool()
    async def read_notebook(context: Context[Any, Any], notebook: Handle) -> Contents:
        """Returns the lines of a notebook."""
        return Contents(lines=find(context, notebook).lines, pod=notebooks.pod)

    @server.tool()
    async def close_notebook(context: Context[Any, Any], notebook: Handle) -> Contents:
        """Closes a notebook, and returns its lines. A pod that is to be removed waits for that."""
        found = find(context, notebook)
        await notebooks.close(notebook)
        return Contents(lines=found.lines, pod=notebooks.pod)

    def find(context: Context[Any, Any], handle: str) -> Notebook:
        if handle != handle_of(context.headers or {}):  # a hand-over waits only for requests that name the notebook
            raise ToolError("This is not the notebook of the session, or of the header Mcp-Param-Notebook.")
        notebook = notebooks.get(handle)
        if notebook is None:
            raise ToolError("There is no such notebook: it was closed or not used for too long, or its pod was lost.")
        return notebook

    return server


# Requests.


class NotebookPods:
    """Serves requests about notebooks of this pod, and passes requests about those that have just left it on.

    Args:
        app: the server of the SDK.
        notebooks: the notebooks.
        http: sends the requests that are passed on.
    """

    def __init__(self, app: ASGIApp, notebooks: Notebooks, http: aiohttp.ClientSession) -> None:
        self._app = app
        self._notebooks = notebooks
        self._http = http

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request, as ASGI has it."""
        headers = Headers(scope=scope)
        handle = handle_of(headers)
        if scope["method"] == "GET":
            await _response(405, "This server sends nothing that was not asked for.")(scope, receive, send)
        elif handle is None:
            await self._app(scope, receive, partial(_send_with_session, scope, send))
        else:
            try:
                await self._serve(handle, scope, receive, send)
            except (StatefulRouteError, aiohttp.ClientConnectorError, TimeoutError):
                await _response(503, "The notebook moves, or cannot be closed: try again.")(scope, receive, send)
            except aiohttp.ClientError:  # not 503, after which clients send a call again: this one may have been served
                await _response(502, "The pod of the notebook has not answered.")(scope, receive, send)

    async def _serve(self, handle: str, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._notebooks.using(handle) as is_here:
            if is_here and scope["method"] == "DELETE":  # an older client ends its session
                await self._notebooks.close(handle)
                await Response()(scope, receive, send)
                return
            if is_here:
                await self._app(scope, receive, send)
                return
        address = await self._notebooks.next_address(handle)
        if address is not None:
            await self._pass_on(address, Request(scope, receive), send)
        elif PARAMETER in Headers(scope=scope):
            await self._app(scope, receive, send)  # the tool says that there is no such notebook
        else:
            await _response(404, "Session not found")(scope, receive, send)

    async def _pass_on(self, address: Address, request: Request, send: Send) -> None:
        headers = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP}
        url = f"http://{address.endpoint}{request.url.path}"
        body = await request.body()
        async with self._http.request(
            request.method, url, data=body, headers=headers, timeout=PASS_ON_TIMEOUT
        ) as answer:
            kept = {"content-type": answer.headers.get("content-type", "application/json")}
            response = Response(await answer.read(), answer.status, kept)
        await response(request.scope, request.receive, send)


async def _send_with_session(scope: Scope, send: Send, message: Message) -> None:
    """Sends a part of an answer; the answer to `initialize` gets the id of the session, which is linked by now."""
    session = scope.get("state", {}).get("session")
    if session is not None and message["type"] == "http.response.start":
        message["headers"] = [*message["headers"], (SESSION.encode(), session.encode())]
    await send(message)


def _response(status: int, message: str) -> Response:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": message}}
    headers = {405: {"Allow": "POST, DELETE"}, 503: {"Retry-After": "1"}}
    return JSONResponse(error, status, headers.get(status))


def make_app(notebooks: Notebooks, http: aiohttp.ClientSession) -> Starlette:
    """Returns the HTTP server of a pod."""
    # Without sessions of the SDK, which no other pod could take over: the state is in the notebooks alone.
    sdk = make_server(notebooks).streamable_http_app(json_response=True, stateless_http=True, host="")

    async def health(_: Request) -> Response:
        return Response()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with sdk.router.lifespan_context(sdk):
            yield

    routes = [Route("/healthz", health), Mount("/", NotebookPods(sdk, notebooks, http))]
    return Starlette(routes=routes, lifespan=lifespan)


# The process.


class Server(uvicorn.Server):
    """Serves on after SIGTERM, until `should_exit` is set: the notebooks of the pod may still have to leave.

    Args:
        config: its settings.

    Attributes:
        is_asked_to_stop: set by SIGTERM.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_asked_to_stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handles SIGTERM and Ctrl-C."""
        del sig, frame
        self._loop.call_soon_threadsafe(self.is_asked_to_stop.set)


async def main(host: str, port: int, tokens: Path) -> None:
    """Serves until SIGTERM, and then until no notebook is linked to this pod, for as long as the pod may take."""
    settings = Configuration(hand_over=HandOverConfiguration(listen_host=host, tokens=tokens))
    driver = ServerDriver.from_environment(configuration=settings, hash_uids=True, follow_users=True)
    notebooks = Notebooks(driver, await driver.init())
    # A connection that is kept may be closed by the other pod just when a request is sent on it.
    connector = aiohttp.TCPConnector(force_close=True)
    async with driver, aiohttp.ClientSession(connector=connector) as http:
        server = Server(uvicorn.Config(make_app(notebooks, http), host=host, port=port, log_level="warning"))
        serving = asyncio.create_task(server.serve())
        await server.is_asked_to_stop.wait()
        await driver.stop()  # the pod gets no new notebooks, and waits for its own
        await notebooks.release_all()
        server.should_exit = True
        await serving


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="One pod of the notebooks.")
    options.add_argument("--host", default="")
    options.add_argument("--port", type=int, default=8080)
    options.add_argument("--tokens", type=Path, default=HandOverConfiguration().tokens)
    arguments = options.parse_args()
    logging.basicConfig(level=logging.INFO)  # the driver logs every operation
    logging.getLogger("mcp").setLevel(logging.WARNING)  # the SDK logs every request
    asyncio.run(main(arguments.host, arguments.port, arguments.tokens))
