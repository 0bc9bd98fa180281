"""What the timers of routes have in common: they work in turns, and skip what would find nothing to do."""

import time
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from statefulroute.controllers.monitoring.timers import TimerMeter
from statefulroute.controllers.routes.period import Period
from statefulroute.controllers.turns import RouteTurns
from statefulroute.domain.keys import RouteKey

R = TypeVar("R")

#: For how long work is skipped at most while nothing changes that it depends on.
_RESYNC_SECONDS = 600.0


class RepeatedWork:
    """Work on a route that is repeated: the revision of the route that the last run was for, if it is complete."""

    __slots__ = ("_ended", "_revision")

    def __init__(self) -> None:
        self._revision: int | None = None
        self._ended = 0.0

    def complete(self, revision: int | None) -> None:
        """Handles the end of a run that has left nothing to do.

        Args:
            revision: the revision of the route at the start of the run.
        """
        self._revision, self._ended = revision, time.monotonic()

    def invalidate(self) -> None:
        """Requires another run."""
        self._revision = None

    def is_complete(self, revision: int | None) -> bool:
        """Returns whether another run would find nothing to do."""
        if self._revision is None or self._revision != revision:
            return False
        return time.monotonic() - self._ended < _RESYNC_SECONDS


class RouteTimer(ABC, Generic[R]):
    """One kind of work on every route, done in turns.

    Args:
        concurrency: on how many routes it works at the same time.
        meter: measures the runs, and counts failures.
        cancels: whether work in progress is cancelled at once when it is to end; otherwise, it is finished.
    """

    def __init__(self, concurrency: int, meter: TimerMeter, *, cancels: bool = False) -> None:
        self._meter = meter
        self._cancels = cancels
        self._routes: dict[RouteKey, R] = {}
        """The routes that are worked on, each with when that is due."""
        self._turns = RouteTurns(self._turn, concurrency, meter.count_failure, self._skip)

    @abstractmethod
    def add(self, route: RouteKey, delay: float = 0.0) -> None:
        """Starts the work on a route.

        Args:
            route: the route.
            delay: for how many seconds work that is not urgent waits.
        """

    @abstractmethod
    def edited(self, route: RouteKey) -> None:
        """Handles an edit of a route."""

    @abstractmethod
    async def _turn(self, key: RouteKey) -> None:
        """Does what is due for a route, and adds its next turn."""

    def _skip(self, key: RouteKey) -> float | None:  # noqa: ARG002 - for those that can
        """Returns the seconds until the next turn if there is nothing to do in this one; otherwise None."""
        return None

    def _skip_run(self, period: Period, seconds: float) -> float:
        """Counts a run that has nothing to do if it is due; returns the seconds until the next one."""
        if not period.due_in(seconds):
            self._meter.observe_lag(period.start(seconds))
        return period.due_in(seconds)

    def drop(self, route: RouteKey) -> None:
        """Ends the work on a route."""
        self._routes.pop(route, None)
        self._turns.drop(route, cancels=self._cancels)

    async def wait_ended(self, route: RouteKey) -> None:
        """Waits until the work on a route that was dropped has ended."""
        await self._turns.wait_ended(route)

    def start(self) -> None:
        """Starts to work."""
        self._turns.start()

    async def stop(self) -> None:
        """Ends the work on all routes."""
        self._routes.clear()
        await self._turns.stop(cancels=self._cancels)
