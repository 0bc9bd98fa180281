"""Limits what connections without a request cost a pod that receives states."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

#: How long a connection may take to send the head of a request, and how long it may be idle between requests.
IDLE_SECONDS = 15.0

_SWEEP_SECONDS = 1.0


class ConnectionGuard:
    """Closes connections that send no request in time, and refuses those above a limit.

    Args:
        server: the server of the connections.
        max_connections: the limit.
        idle_seconds: the maximal time of a connection without a request.
    """

    def __init__(self, server: web.Server, max_connections: int, idle_seconds: float) -> None:
        self._server = server
        self._max_connections = max_connections
        self._idle_seconds = idle_seconds
        self._busy: set[object] = set()
        self._idle_since: dict[object, float] = {}

    def make_protocol(self) -> asyncio.Protocol:
        """Returns the protocol of a new connection."""
        if len(self._server.connections) >= self._max_connections:
            return _Refusing()
        return self._server()

    @contextmanager
    def handling(self, protocol: object) -> Iterator[None]:
        """Marks the connection of a request as busy while the context lasts."""
        self._busy.add(protocol)
        try:
            yield
        finally:
            self._busy.discard(protocol)
            self._idle_since.pop(protocol, None)

    async def run(self) -> None:
        """Closes idle connections until it is cancelled."""
        while True:
            await asyncio.sleep(min(_SWEEP_SECONDS, self._idle_seconds / 2))
            self._sweep(asyncio.get_running_loop().time())

    def _sweep(self, now: float) -> None:
        idle = [protocol for protocol in self._server.connections if protocol not in self._busy]
        self._idle_since = {protocol: self._idle_since.get(protocol, now) for protocol in idle}
        for protocol in idle:
            if now - self._idle_since[protocol] > self._idle_seconds and protocol.transport is not None:
                protocol.transport.abort()


class _Refusing(asyncio.Protocol):
    """Closes a connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()
