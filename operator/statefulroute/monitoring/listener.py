"""Listens for HTTP connections: replaces the TLS context, and closes connections whose requests do not arrive."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from ssl import SSLContext

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler as Connection

from statefulroute.monitoring.bind_address import BindAddress

log = structlog.get_logger(__name__)

#: How long a TLS handshake may take, and the headers of a request. Gateways need milliseconds.
_HEADER_TIMEOUT_SECONDS = 10.0

_BACKLOG = 128

#: The pause after a failed replacement of the TLS context: the process may have too many open files for a moment.
_RETRY_SECONDS = 1.0


class RenewableTlsContext:
    """The TLS context of a server, which may be replaced while the server runs.

    A new context is a replacement and not an addition: it does not trust the authorities of the old one, and does not
    resume its sessions.

    Attributes:
        current: the context of new connections.

    Args:
        context: the first context.
    """

    def __init__(self, context: SSLContext) -> None:
        self.current = context
        self._replaced = asyncio.Event()

    def replace(self, context: SSLContext) -> None:
        """Replaces the context."""
        self.current = context
        self._replaced.set()

    async def wait_replaced(self) -> SSLContext:
        """Waits until the context is replaced; returns the new one."""
        await self._replaced.wait()
        self._replaced.clear()
        return self.current


class TimedConnection(Connection):
    """A connection that records since when the headers of a request are incomplete.

    Attributes:
        on_close: called when the connection is closed; None calls nothing.
    """

    __slots__ = ("_unfinished_since", "on_close")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Starts the time limit of the first request."""
        self._unfinished_since: float | None = self._loop.time()
        self.on_close: Callable[[], object] | None = None
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Calls `on_close`."""
        super().connection_lost(exc)
        if self.on_close is not None:
            self.on_close()

    def data_received(self, data: bytes) -> None:
        """Ends the time limit if the data ends with the headers of a request.

        Otherwise a part of the next request may follow, so the time limit begins again. It applies only while no
        request is in progress, so a request with a body is not limited, but its connection is kept no longer.
        """
        super().data_received(data)
        if self._messages:
            self._unfinished_since = None if data.endswith(b"\r\n\r\n") else self._loop.time()
        elif self._unfinished_since is None:
            self._unfinished_since = self._loop.time()

    def abort_if_unfinished(self, earliest: float) -> None:
        """Closes the connection if it has waited for headers since before the given time of the event loop."""
        since = self._unfinished_since
        if since is not None and since < earliest and not self._request_in_progress and self.transport is not None:
            self.transport.abort()


class TimedServer(web.Server):
    """A server that closes connections whose headers do not arrive in time."""

    def __call__(self) -> TimedConnection:
        """Returns a new connection."""
        return TimedConnection(self, loop=self._loop, **self._kwargs)

    async def abort_unfinished(self, timeout_seconds: float = _HEADER_TIMEOUT_SECONDS) -> None:
        """Closes connections whose headers take longer than the time limit, until it is cancelled."""
        while True:
            await asyncio.sleep(timeout_seconds / 5)
            earliest = self._loop.time() - timeout_seconds
            for connection in self.connections:
                if isinstance(connection, TimedConnection):
                    connection.abort_if_unfinished(earliest)


@asynccontextmanager
async def listen(
    server: web.Server, address: BindAddress, tls: RenewableTlsContext | None
) -> AsyncIterator[list[BindAddress]]:
    """Accepts connections while the context is open; yields the addresses.

    Args:
        server: handles the connections.
        address: the address to listen on.
        tls: the TLS context; None serves plain HTTP.

    Raises:
        OSError: the process cannot listen on the address.
    """
    listener = _Listener(server)
    await listener.open(address, None if tls is None else tls.current)
    tasks = []
    if tls is not None:
        tasks.append(asyncio.create_task(listener.follow(tls)))
    if isinstance(server, TimedServer):
        tasks.append(asyncio.create_task(server.abort_unfinished()))
    try:
        yield listener.addresses
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        listener.close()


class _Listener:
    """The listening sockets of a server."""

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._open: list[asyncio.Server] = []

    @property
    def addresses(self) -> list[BindAddress]:
        """The addresses of the sockets."""
        return [BindAddress(*each.getsockname()[:2]) for listening in self._open for each in listening.sockets]

    async def open(self, address: BindAddress, tls: SSLContext | None) -> None:
        """Starts to accept connections."""
        timeout = None if tls is None else _HEADER_TIMEOUT_SECONDS
        self._open.append(
            await self._loop.create_server(
                self._server, address.host, address.port, ssl=tls, ssl_handshake_timeout=timeout, backlog=_BACKLOG
            )
        )

    async def follow(self, tls: RenewableTlsContext) -> None:
        """Accepts new connections with each new TLS context, until it is cancelled.

        An SSLContext cannot forget authorities, and an asyncio server cannot change its context: another server takes
        over the same sockets, so no connection is refused meanwhile.
        """
        is_current = True
        while True:
            await (tls.wait_replaced() if is_current else asyncio.sleep(_RETRY_SECONDS))
            is_current = await self._reopen(tls.current)

    async def _reopen(self, context: SSLContext) -> bool:
        """Accepts new connections with another TLS context; returns False, and keeps the old one, if that failed."""
        old = self._open
        opened: list[asyncio.Server] = []
        duplicates: list[socket.socket] = []
        try:
            for each in [each for server in old for each in server.sockets]:
                duplicates.append(socket.socket(fileno=os.dup(each.fileno())))
                opened.append(
                    await self._loop.create_server(
                        self._server,
                        sock=duplicates[-1],
                        ssl=context,
                        ssl_handshake_timeout=_HEADER_TIMEOUT_SECONDS,
                        backlog=_BACKLOG,
                    )
                )
        except OSError as error:
            log.warning("the old certificates are still in use: trying again", error=str(error))
            for server in opened:
                server.close()
            for each in duplicates:
                each.close()
            return False
        self._open = opened
        for server in old:
            for each in server.sockets:
                self._loop.remove_reader(each.fileno())
        try:
            await asyncio.sleep(0)  # a server that is closed resets the connections that it has just accepted
        finally:
            for server in old:
                server.close()
        return True

    def close(self) -> None:
        """Stops to accept connections; those that are open stay."""
        for server in self._open:
            server.close()
