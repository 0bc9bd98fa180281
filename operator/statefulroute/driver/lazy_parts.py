"""The parts of a server driver, opened at their first use."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from statefulroute.driver.parts import ServerParts


class LazyParts:
    """Opens the parts of a driver at their first use. Concurrent callers share one opening.

    Args:
        source: the parts, or a function that opens them and registers their closing on an exit stack.
    """

    def __init__(self, source: ServerParts | Callable[[AsyncExitStack], Awaitable[ServerParts]]) -> None:
        self._source = source
        self._parts = source if isinstance(source, ServerParts) else None
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()

    @property
    def opened(self) -> ServerParts | None:
        """The parts, or None before they are opened."""
        return self._parts

    async def get(self) -> ServerParts:
        """Returns the parts, and opens them if necessary. Raises what the opening raises; the next call tries again."""
        if self._parts is not None:
            return self._parts
        async with self._lock:
            if self._parts is None:
                self._parts = await self._open()
        return self._parts

    async def close(self) -> None:
        """Closes parts that were opened here; the next use opens them again."""
        await self._stack.aclose()
        if not isinstance(self._source, ServerParts):
            self._parts = None

    async def _open(self) -> ServerParts:
        if isinstance(self._source, ServerParts):
            return self._source
        try:
            return await self._source(self._stack)
        except BaseException:
            await self._stack.aclose()
            raise
