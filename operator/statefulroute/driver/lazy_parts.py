"""The parts of a server driver, opened at their first use."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from statefulroute.cluster.errors import ClusterError, is_outage
from statefulroute.domain.backoff import Backoff
from statefulroute.domain.errors import DeadlineExceededError
from statefulroute.driver.lifetime import Lifetime, result_of
from statefulroute.driver.parts import EventLogger, ServerParts

_BACKOFF = Backoff(initial_seconds=0.25, max_seconds=5.0, random=random.random)

#: The parts, or a function that opens them and registers their closing on an exit stack.
PartsSource = ServerParts | Callable[[AsyncExitStack], Awaitable[ServerParts]]


class LazyParts:
    """Opens the parts of a driver at their first use, and tries again while the API server is unavailable.

    Concurrent callers share one opening. It goes on if they give up waiting.

    Args:
        source: the parts, or what opens them.
        log: the driver's logger.

    Attributes:
        lifetime: where the parts may be used.
    """

    def __init__(self, source: PartsSource, log: EventLogger) -> None:
        self.lifetime = Lifetime()
        self._source = source
        self._log = log
        self._parts = source if isinstance(source, ServerParts) else None
        self._opening: asyncio.Task[ServerParts] | None = None
        self._stack = AsyncExitStack()
        self._listeners: list[Callable[[ServerParts], None]] = []

    def on_open(self, listener: Callable[[ServerParts], None]) -> None:
        """Calls a function with the parts at each opening, before any caller has them; at once if they are open."""
        self._listeners.append(listener)
        if self._parts is not None:
            listener(self._parts)

    @property
    def opened(self) -> ServerParts | None:
        """The parts, or None before they are opened."""
        return self._parts

    async def get(self) -> ServerParts:
        """Returns the parts, and opens them if necessary.

        Raises:
            DriverNotOpenError: they are open in another process or event loop, or are closed meanwhile.
            Exception: that of the opening; the next call tries again.
        """
        self.lifetime.begin()
        if self._parts is not None:
            return self._parts
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(_retrieve_error)
        return await result_of(asyncio.shield(self._opening))

    async def close(self) -> None:
        """Closes parts that were opened here; the next use opens them again."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
            self._opening = None
        await self._stack.aclose()
        if not isinstance(self._source, ServerParts):
            self._parts = None
        self.lifetime.end(final=False)

    async def _open(self) -> ServerParts:
        if isinstance(self._source, ServerParts):
            return self._source
        failures = 0
        while True:
            try:
                self._parts = await self._source(self._stack)
            except BaseException as error:
                await self._stack.aclose()
                if not _is_outage(error):
                    raise
                self._log.warning("the API server is unavailable: trying again", error=str(error))
            else:
                for listener in self._listeners:
                    listener(self._parts)
                return self._parts
            await asyncio.sleep(_BACKOFF.delay(failures))
            failures += 1


def _is_outage(error: BaseException) -> bool:
    return isinstance(error, DeadlineExceededError) or (isinstance(error, ClusterError) and is_outage(error))


def _retrieve_error(opening: asyncio.Task[ServerParts]) -> None:
    """Marks the error as retrieved, in case every caller has given up waiting."""
    if not opening.cancelled():
        opening.exception()
