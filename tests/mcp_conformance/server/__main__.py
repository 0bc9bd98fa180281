"""An MCP server with the tools, resources and prompts of the conformance suite: alone, or as one replica of a pod.

python server --host IP --port PORT --shared FOLDER

FOLDER has what all replicas share: the key of the states that clients return, and the sockets of the bus. With
POD_NAME, the sessions of this replica are linked to its pod.
"""

import argparse
import asyncio
import logging
import os
import secrets
import warnings
from contextlib import AsyncExitStack
from pathlib import Path

import prompts
import resources
import tools
import uvicorn
from events import Events, ReplicaBus
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import ListenHandler
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp_types import EmptyResult, SetLevelRequestParams
from mcp_types.methods import CACHEABLE_METHODS
from sessions import LinkedSessions, Pod
from starlette.types import ASGIApp

from statefulroute import ServerDriver

#: How soon a client asks for the rest of a stream that was closed.
RETRY_MILLISECONDS = 200


async def set_level(_: ServerRequestContext, __: SetLevelRequestParams) -> EmptyResult:
    """Accepts a level of log messages."""
    return EmptyResult()


def make_server(shared: Path, bus: ReplicaBus) -> Server:
    """Returns the server, with the key that all replicas share."""
    warnings.simplefilter("ignore", MCPDeprecationWarning)  # the suite uses what the newest revision deprecates
    tools.add_triggers(bus)
    server = Server(
        "conformance",
        version="1.0.0",
        cache_hints={method: CacheHint(ttl_ms=1000, scope="public") for method in CACHEABLE_METHODS},
        on_list_tools=tools.list_tools,
        on_call_tool=tools.call_tool,
        on_list_resources=resources.list_resources,
        on_list_resource_templates=resources.list_templates,
        on_read_resource=resources.read_resource,
        on_subscribe_resource=resources.subscribe,
        on_unsubscribe_resource=resources.unsubscribe,
        on_subscriptions_listen=ListenHandler(bus),
        on_list_prompts=prompts.list_prompts,
        on_get_prompt=prompts.get_prompt,
        on_completion=prompts.complete,
        on_set_logging_level=set_level,
    )
    security = RequestStateSecurity(keys=[(shared / "key").read_text(encoding="ascii")])
    server.middleware.append(RequestStateBoundary(security, default_audience=server.name))
    return server


async def main(host: str, port: int, shared: Path) -> None:
    """Serves until SIGTERM."""
    bus = ReplicaBus(shared, f"{host}-{port}")
    bus.start()
    local = ["127.0.0.1:*", "localhost:*"]
    app: ASGIApp = make_server(shared, bus).streamable_http_app(
        event_store=Events(),
        retry_interval=RETRY_MILLISECONDS,
        transport_security=TransportSecuritySettings(
            allowed_hosts=local, allowed_origins=[f"http://{each}" for each in local]
        ),
    )
    async with AsyncExitStack() as stack:
        if "POD_NAME" in os.environ:
            driver = await stack.enter_async_context(ServerDriver.from_environment())
            app = LinkedSessions(app, Pod(driver, await driver.init()))
        settings = uvicorn.Config(app, host, port, timeout_graceful_shutdown=1)
        await uvicorn.Server(settings).serve()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="An MCP server for the conformance suite.")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=3001)
    options.add_argument("--shared", type=Path, required=True)
    arguments = options.parse_args()
    logging.basicConfig(level=logging.WARNING)
    arguments.shared.mkdir(exist_ok=True)
    if not (arguments.shared / "key").exists():
        (arguments.shared / "key").write_text(secrets.token_hex(32), encoding="ascii")
    asyncio.run(main(arguments.host, arguments.port, arguments.shared))
