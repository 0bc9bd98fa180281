"""Opens clients of the API server for tests."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client

C = TypeVar("C", bound=Client)

#: How long the event loop must run after a client has closed: a TLS connection that is left within a response closes
#: only a moment later.
CLOSING_SECONDS = 0.25

_POLL_SECONDS = 0.01


@asynccontextmanager
async def closing_connections() -> AsyncIterator[None]:
    """Waits after its end until the connections that were opened within are closed, for at most `CLOSING_SECONDS`."""
    loop = asyncio.get_running_loop()
    before = _connections(loop)
    yield
    deadline = loop.time() + CLOSING_SECONDS
    while loop.time() < deadline and (before is None or (_connections(loop) or 0) > before):  # noqa: ASYNC110 - no event
        await asyncio.sleep(_POLL_SECONDS)
    await asyncio.sleep(0)  # closes what is not watched any more


@asynccontextmanager
async def open_client(client_type: type[C], connection: Connection, **options: Any) -> AsyncIterator[C]:
    """Opens a client, and waits after its end until its connections are closed."""
    async with closing_connections(), client_type(connection, **options) as client:
        yield client


def _connections(loop: asyncio.AbstractEventLoop) -> int | None:
    """Returns the number of TCP sockets whose events an event loop waits for; None if the loop does not show them."""
    selector = getattr(loop, "_selector", None)
    return None if selector is None else sum(map(_is_tcp, list(selector.get_map())))


def _is_tcp(file: int) -> bool:
    try:
        with socket.socket(fileno=os.dup(file)) as copy:
            return copy.family in {socket.AF_INET, socket.AF_INET6}
    except OSError:  # it is no socket
        return False
