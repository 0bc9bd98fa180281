"""Opens clients of the API server for tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client

C = TypeVar("C", bound=Client)

#: How long the event loop must run after a client has closed: a TLS connection that is left within a response closes
#: only a moment later.
CLOSING_SECONDS = 0.25


@asynccontextmanager
async def open_client(client_type: type[C], connection: Connection, **options: Any) -> AsyncIterator[C]:
    """Opens a client, and waits after its end until its connections are closed."""
    async with client_type(connection, **options) as client:
        yield client
    await asyncio.sleep(CLOSING_SECONDS)
