"""Stops a process that may have lost its Lease from writing.

The fence checks the time immediately before a write is sent. So the check is correct whatever delayed the process
before: a blocked event loop, a wait for a free connection, a stop by a signal, a suspended machine. Both asyncio and
uvloop pass the data to the operating system in the same call, as long as the socket accepts it.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Any, ClassVar
from weakref import WeakSet

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientResponse
from aiohttp.connector import Connection

from statefulroute.cluster.clock import elapsed_seconds
from statefulroute.cluster.errors import NotLeadingError

_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class _Term:
    """A time without interruption in which this process holds the Lease.

    Attributes:
        until: the time after which nothing may be written.
        ended: set when the fence is closed.
        connections: the connections that have carried a write.
    """

    __slots__ = ("connections", "ended", "until")

    def __init__(self, until: float) -> None:
        self.until = until
        self.ended = asyncio.Event()
        self.connections: WeakSet[ResponseHandler] = WeakSet()


class Fence:
    """Decides whether this process may write.

    A fence is closed at first. `open_until` opens it, which starts a *term*, and later extends the term before it is
    over. `close` ends the term; afterwards, `open_until` starts another one. A write is admitted only in the term in
    which its request was made, so no write is left over from an earlier term.

    When the time of a term is over, its writes wait until `close`, and then fail.

    Args:
        clock: returns seconds, including the time in which the process does not run.
    """

    __slots__ = ("_clock", "_term")

    def __init__(self, clock: Callable[[], float] = elapsed_seconds) -> None:
        self._clock = clock
        self._term: _Term | None = None

    def open_until(self, time: float) -> bool:
        """Opens the fence until a time of the clock, or extends that time.

        Returns:
            Whether the fence is open: the time may have passed already, or the time of the term, which only `close`
            ends.
        """
        now, term = self._clock(), self._term
        if term is None:
            if now >= time:
                return False
            self._term = _Term(time)
        elif self._is_over(term, now):
            return False
        elif now < time:
            term.until = time
        return True

    def close(self) -> None:
        """Ends the term: breaks the connections that may still have to send a part of a write, and fails its writes."""
        term, self._term = self._term, None
        if term is None:
            return
        for connection in tuple(term.connections):
            if connection.transport is not None:
                connection.transport.abort()
        term.ended.set()

    @property
    def seconds_left(self) -> float:
        """The remaining seconds until the fence closes; 0 or less if it is closed."""
        return -math.inf if self._term is None else self._term.until - self._clock()

    @property
    def term(self) -> _Term | None:
        """The present term; None if the fence is closed."""
        return self._term

    async def admit_write(self, term: _Term | None, connection: ResponseHandler | None = None) -> None:
        """Returns if a write may be sent; otherwise waits until the term is closed.

        Args:
            term: the term in which the request was made; None if there was none.
            connection: the connection on which the write is sent.

        Raises:
            NotLeadingError: this process did not hold the Lease when the request was made, or does not hold it now.
        """
        if term is None:
            raise NotLeadingError("nothing was written: this process does not hold the Lease")
        if term is not self._term or self._is_over(term, self._clock()):
            await term.ended.wait()
            raise NotLeadingError("nothing was written: this process holds the Lease no longer")
        if connection is not None:
            term.connections.add(connection)

    def request_class(self) -> type[aiohttp.ClientRequest]:
        """Returns the request class for a session whose writes the fence checks."""
        return type("FencedRequest", (_FencedRequest,), {"fence": self})

    @staticmethod
    def _is_over(term: _Term, now: float) -> bool:
        if now >= term.until:
            term.until = -math.inf  # for good, even if the clock goes back
            return True
        return False


class _FencedRequest(aiohttp.ClientRequest):
    """A request that the fence checks before it is sent, unless it only reads.

    aiohttp creates one for each attempt, including those after a redirect or a broken connection. It calls `send` when
    it has a connection, and `write_bytes`, in a separate task on some Python versions, to pass the headers and the body
    to the socket in one piece.
    """

    fence: ClassVar[Fence]

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - aiohttp's own
        super().__init__(*args, **options)
        self._term = self.fence.term

    async def send(self, conn: Connection) -> ClientResponse:
        """Sends the headers, or buffers them until the body is sent.

        Raises:
            NotLeadingError: this process does not hold the Lease.
        """
        if self.method not in _READS:
            await self.fence.admit_write(self._term, conn.protocol)
        return await super().send(conn)

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Sends the headers and the body, or fails the request: this may run in a task that no other waits for."""
        try:
            if self.method not in _READS:
                await self.fence.admit_write(self._term)
        except NotLeadingError as error:
            if conn.protocol is not None:
                conn.protocol.set_exception(error)
            conn.close()
            return
        await super().write_bytes(writer, conn, content_length)
