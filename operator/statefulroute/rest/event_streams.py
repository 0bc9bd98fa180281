"""What streams of server-sent events have in common."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

from statefulroute.monitoring.listener import TimedConnection

#: A comment, for proxies that close idle connections, and for clients that notice dead ones.
HEARTBEAT = b":\n\n"

HEARTBEAT_SECONDS = 15.0

STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # otherwise nginx buffers the events
}


@contextmanager
def observe_connection(request: web.BaseRequest, on_close: Callable[[], object]) -> Iterator[None]:
    """Calls a function when the client closes the connection. The next write would notice it, but much later."""
    connection = request.protocol
    if not isinstance(connection, TimedConnection):
        yield
        return
    connection.on_close = on_close
    try:
        yield
    finally:
        connection.on_close = None
