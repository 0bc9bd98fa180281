"""Keeps a process that may have lost its Lease from writing: it is asked at the last moment before a write goes out.

Whatever has held the process up in between, the answer is right: a blocked event loop, a wait for a free connection, a
stop by a signal, a machine that was suspended. Both asyncio and uvloop hand what is written to the system in that very
call, as long as the system takes it.
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
    """Whether this process may write.

    It is shut at first, and opened for a time that may be prolonged before it is over. Once that time has passed, or it
    was shut by hand, it stays shut for good: the process ends, and its successor has a fence of its own. Until then,
    whoever wants to write waits, for there is nothing left to do about a write that failed.

    Args:
        clock: seconds that also pass while the process does not run.
    """

    __slots__ = ("_clock", "_until")

    def __init__(self, clock: Callable[[], float] = elapsed_seconds) -> None:
        self._clock = clock
        self._until: float | None = None

    def open_until(self, time: float) -> bool:
        """Let writes pass until this moment of the clock; gives whether any may: the moment may have passed already."""
        now = self._clock()
        if self._until is not None and now >= self._until:
            self.close()
        elif now < time:
            self._until = time
            return True
        return False

    def close(self) -> None:
        """Let no write pass any more, for good."""
        self._until = -math.inf

    @property
    def seconds_left(self) -> float:
        """For how long it is still open; 0 or less when it is shut."""
        return -math.inf if self._until is None else self._until - self._clock()

    async def admit_write(self) -> None:
        """Let a write pass; one that comes too late waits here until the process ends.

        Raises:
            NotLeadingError: it was never open: nobody should try to write.
        """
        until = self._until
        if until is None:
            raise NotLeadingError("nothing was written: this process does not hold the Lease")
        if self._clock() >= until:
            self.close()
            await asyncio.Event().wait()

    def request_class(self) -> type[aiohttp.ClientRequest]:
        """The class of the requests of a session whose writes have to pass."""
        return type("FencedRequest", (_FencedRequest,), {"fence": self})


class _FencedRequest(aiohttp.ClientRequest):
    """A request that is held at the fence instead of being sent, unless it only reads.

    aiohttp makes one for each attempt, those after a redirect or a broken connection included. It calls `send` when
    there is a connection, and `write_bytes`, on some Pythons in a task of its own, to hand the head and the body of the
    request to the socket in one piece.
    """

    fence: ClassVar[Fence]

    async def send(self, conn: Connection) -> ClientResponse:
        """Send the head, or keep it for the body.

        Raises:
            NotLeadingError: the fence was never open.
        """
        if self.method not in _READS:
            await self.fence.admit_write()
        return await super().send(conn)

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Send the head and the body."""
        if self.method not in _READS:
            await self.fence.admit_write()
        await super().write_bytes(writer, conn, content_length)
