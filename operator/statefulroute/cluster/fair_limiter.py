"""Limits how many requests of one kind are in progress, and shares them fairly by namespace and route."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import RouteKey


class FairLimiter:
    """Gives slots to requests; a request waits only while its route may have no slot.

    Args:
        slots: the slots, and how routes share them.
    """

    def __init__(self, slots: FairSlots) -> None:
        self._slots = slots

    @asynccontextmanager
    async def slot(self, route: RouteKey) -> AsyncIterator[None]:
        """Holds a slot of a route while the context is open; waits for it first, if necessary."""
        if not self._slots.take(route):
            await self._wait(route)
        try:
            yield
        finally:
            self._slots.release(route)

    async def _wait(self, route: RouteKey) -> None:
        is_granted = asyncio.get_running_loop().create_future()

        def take_slot() -> bool:
            if is_granted.done():  # the task that waits was cancelled just now
                return False
            is_granted.set_result(None)
            return True

        self._slots.wait(route, take_slot)
        try:
            await is_granted
        except asyncio.CancelledError:
            if not self._slots.cancel(route, take_slot) and not is_granted.cancelled():
                self._slots.release(route)
            raise
