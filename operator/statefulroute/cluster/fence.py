"""Stops a process that may have lost its Lease from writing.

The fence checks the time immediately before a write is sent. So the check is correct whatever delayed the process
before: a blocked event loop, a wait for a free connection, a stop by a signal, a suspended machine. Both asyncio and
uvloop pass the data to the operating system in the same call, as long as the socket accepts it.
"""

import asyncio
import math
from collections.abc import Callable
from typing import ClassVar

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_reqrep import ClientResponse
from aiohttp.connector import Connection

from statefulroute.cluster.clock import elapsed_seconds
from statefulroute.cluster.errors import NotLeadingError

_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Fence:
    """Decides whether this process may write.

    A fence is closed at first. `open_until` opens it, and extends the time before it is over. After that time, or after
    `close`, the fence stays closed: the process exits, and its successor has a new fence. Until the process exits,
    writes wait, because a failed write could not be handled any more.

    Args:
        clock: returns seconds, including the time in which the process does not run.
    """

    __slots__ = ("_clock", "_until")

    def __init__(self, clock: Callable[[], float] = elapsed_seconds) -> None:
        self._clock = clock
        self._until: float | None = None

    def open_until(self, time: float) -> bool:
        """Opens the fence until a time of the clock.

        Returns:
            Whether the fence is open: the time may have passed already.
        """
        now = self._clock()
        if self._until is not None and now >= self._until:
            self.close()
        elif now < time:
            self._until = time
            return True
        return False

    def close(self) -> None:
        """Closes the fence permanently."""
        self._until = -math.inf

    @property
    def seconds_left(self) -> float:
        """The remaining seconds until the fence closes; 0 or less if it is closed."""
        return -math.inf if self._until is None else self._until - self._clock()

    async def admit_write(self) -> None:
        """Returns if the fence is open; otherwise blocks until the process exits.

        Raises:
            NotLeadingError: the fence has never been open, so the process should not try to write.
        """
        until = self._until
        if until is None:
            raise NotLeadingError("nothing was written: this process does not hold the Lease")
        if self._clock() >= until:
            self.close()
            await asyncio.Event().wait()

    def request_class(self) -> type[aiohttp.ClientRequest]:
        """Returns the request class for a session whose writes the fence checks."""
        return type("FencedRequest", (_FencedRequest,), {"fence": self})


class _FencedRequest(aiohttp.ClientRequest):
    """A request that the fence checks before it is sent, unless it only reads.

    aiohttp creates one for each attempt, including those after a redirect or a broken connection. It calls `send` when
    it has a connection, and `write_bytes`, in a separate task on some Python versions, to pass the headers and the body
    to the socket in one piece.
    """

    fence: ClassVar[Fence]

    async def send(self, conn: Connection) -> ClientResponse:
        """Sends the headers, or buffers them until the body is sent.

        Raises:
            NotLeadingError: the fence has never been open.
        """
        if self.method not in _READS:
            await self.fence.admit_write()
        return await super().send(conn)

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Sends the headers and the body."""
        if self.method not in _READS:
            await self.fence.admit_write()
        await super().write_bytes(writer, conn, content_length)
