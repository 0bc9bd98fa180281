"""The turns of routes: which of them run now, and which later."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial

import structlog

from statefulroute.controllers.deadlines import Deadlines
from statefulroute.domain.fair_slots import FairSlots, TakeSlot
from statefulroute.domain.keys import RouteKey

log = structlog.get_logger(__name__)

#: How long a turn that ends with its route, or with the term of leadership, may take to finish its writes.
_END_SECONDS = 5.0

#: How soon a turn that has failed with an unexpected error is repeated.
_RETRY_SECONDS = 5.0


class RouteTurns:
    """Runs the turns of routes: one at a time for each route, and a limited number at the same time.

    A turn is a task, so that a turn that hangs can be cancelled; a route whose turn is not due has none. Namespaces
    share the slots for turns fairly: pods of one tenant that do not answer delay no other tenant.

    Args:
        turn: what is done for a route.
        concurrency: the largest number of turns at the same time.
        count_failure: called when a turn has failed with an unexpected error; it is repeated.
        skip: called when a turn is due later than it was added. If there is nothing to do, it returns the seconds until
            the next turn, and the turn takes no slot and no task; otherwise None.
    """

    def __init__(
        self,
        turn: Callable[[RouteKey], Awaitable[None]],
        concurrency: int,
        count_failure: Callable[[], object],
        skip: Callable[[RouteKey], float | None] = lambda _: None,
    ) -> None:
        self._turn = turn
        self._skip = skip
        self._count_failure = count_failure
        self._slots = FairSlots(concurrency)
        self._is_started = False
        self._waiting: dict[RouteKey, TakeSlot] = {}
        """The routes that wait for a slot, each with the function that starts its turn."""
        self._running: dict[RouteKey, asyncio.Task[None]] = {}
        self._again: set[RouteKey] = set()
        """The routes whose turn is running and that have another one afterwards."""
        self._later: Deadlines[RouteKey] = Deadlines(self._due)

    def start(self) -> None:
        """Starts to run turns."""
        self._is_started = True

    async def stop(self, *, cancels: bool = False) -> None:
        """Drops all turns that wait, and ends those that run.

        Args:
            cancels: whether turns that run are cancelled at once.
        """
        self._is_started = False
        for route in (*self._later, *self._waiting):
            self._drop_waiting(route)
        self._again.clear()
        await _end(tuple(self._running.values()), 0.0 if cancels else _END_SECONDS)

    def add(self, route: RouteKey) -> None:
        """Runs a turn of a route as soon as there is a slot; one turn, however often it is added until then."""
        if not self._is_started or route in self._waiting:
            return
        self._later.cancel(route)
        if route in self._running:
            self._again.add(route)
        elif self._slots.take(route):
            self._start_turn(route)
        else:
            take_slot = self._waiting[route] = partial(self._take_slot, route)
            self._slots.wait(route, take_slot)

    def add_after(self, route: RouteKey, seconds: float) -> None:
        """Runs a turn of a route after a time, in place of one that is due later."""
        if not self._is_started:
            return
        if seconds <= 0:
            self.add(route)
        elif route not in self._waiting:
            self._later.set(route, seconds)

    def ensure(self, route: RouteKey, seconds: float) -> None:
        """Runs a turn of a route after a time, or at once after the one that runs, unless one waits or is due later."""
        if route in self._running:
            self.add(route)
        elif route not in self._later and route not in self._waiting:
            self.add_after(route, seconds)

    def drop(self, route: RouteKey, *, cancels: bool = False) -> None:
        """Drops the turns of a route that wait, and ends the one that runs.

        Args:
            route: the route.
            cancels: whether the turn that runs is cancelled at once.
        """
        self._drop_waiting(route)
        self._again.discard(route)
        if (task := self._running.get(route)) is not None:
            if cancels:
                task.cancel()
            else:
                asyncio.get_running_loop().call_later(_END_SECONDS, task.cancel)

    async def wait_ended(self, route: RouteKey) -> None:
        """Waits until no turn of a route runs."""
        if (task := self._running.get(route)) is not None:
            await asyncio.wait([task])

    def _due(self, route: RouteKey) -> None:
        if (seconds := self._skip(route)) is None:
            self.add(route)
        else:
            self.add_after(route, seconds)

    def _drop_waiting(self, route: RouteKey) -> None:
        self._later.cancel(route)
        if (take_slot := self._waiting.pop(route, None)) is not None:
            self._slots.cancel(route, take_slot)

    def _take_slot(self, route: RouteKey) -> bool:
        del self._waiting[route]
        self._start_turn(route)
        return True

    def _start_turn(self, route: RouteKey) -> None:
        task = self._running[route] = asyncio.get_running_loop().create_task(self._run(route))
        task.add_done_callback(partial(self._ended, route))

    async def _run(self, route: RouteKey) -> None:
        try:
            await self._turn(route)
        except Exception:
            # An error of one route must not stop the work on all others, nor end the work on this one.
            self._count_failure()
            log.exception("an unexpected error: trying again", route=route)
            self.add_after(route, _RETRY_SECONDS)

    def _ended(self, route: RouteKey, _: asyncio.Task[None]) -> None:
        del self._running[route]
        self._slots.release(route)
        if route in self._again:
            self._again.discard(route)
            self.add(route)


async def _end(tasks: Collection[asyncio.Task[None]], seconds: float) -> None:
    """Waits until tasks have ended, and cancels those that take longer."""
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)
