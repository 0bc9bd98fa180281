"""The state timer: a route's status at every change, and at every `statePeriodSeconds` what nobody announces."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

import kopf
import structlog

from statefulroute.cluster.clock import Clock
from statefulroute.cluster.errors import ClusterError, ConflictError
from statefulroute.cluster.mirror import Mirror
from statefulroute.cluster.writes import RouteWriter
from statefulroute.controllers.monitoring.timers import TimerMeter
from statefulroute.controllers.routes.assessments import Assessments
from statefulroute.controllers.routes.period import Period
from statefulroute.controllers.routes.refresh import Refresh
from statefulroute.controllers.views import RouteViews
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.route import Route, RouteView
from statefulroute.domain.route_status import route_status

log = structlog.get_logger(__name__)

#: A rollout changes many pods in a moment, and a wave of users many links: after a status at once, what
#: follows within this time goes into the next one. It grows with the pods, for their status is written as a whole.
_SETTLE_SECONDS = 1.0
_PODS_A_SECOND = 100

#: A workload that is not watched and was not found is looked for again after this time, then after twice of it.
_LOOK_AGAIN_SECONDS = 1.0

#: How long the handler of a new generation may take to write its status. kopf gives up one that is refused for
#: about a minute, and comes back to it at the next edit only.
_HANDLER_SECONDS = 10.0

#: How long the first status waits for pods that are slow to tell their load.
_FIRST_READING_SECONDS = 5.0


class _Unhandled(NamedTuple):
    """A generation of a route whose handler has not written its status, and since when that is known."""

    generation: int
    since: float


class StateTimer:
    """Keeps the status of routes true.

    Args:
        mirror: the caches; its links are listened to.
        views: the routes as decisions see them.
        refresh: reads what changes without an announcement.
        writer: writes a route's status.
        assessments: how busy the services are; listened to.
        meter: measures the turns.
        clock: the time of day.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a status is made of
        self,
        mirror: Mirror,
        views: RouteViews,
        refresh: Refresh,
        writer: RouteWriter,
        assessments: Assessments,
        meter: TimerMeter,
        clock: Clock,
    ) -> None:
        self._views = views
        self._refresh = refresh
        self._writer = writer
        self._assessments = assessments
        self._meter = meter
        self._clock = clock
        self._rounds: dict[RouteKey, _Rounds] = {}
        self._unhandled: dict[RouteKey, _Unhandled] = {}
        mirror.links.cache.listen(self._link_changed)
        assessments.listen(self._touch)

    async def run(self, key: RouteKey, stopped: kopf.DaemonStopped) -> None:
        """Keep one route's status true until stopped."""
        rounds = self._rounds[key] = _Rounds(self._views, key, self._refresh, self._say, self._meter)
        try:
            await rounds.run(stopped)
        finally:
            if self._rounds.get(key) is rounds:
                del self._rounds[key]
                self._unhandled.pop(key, None)

    def has_read(self, key: RouteKey) -> bool:
        """Whether what nobody announces was read of a route at least once."""
        rounds = self._rounds.get(key)
        return rounds is not None and rounds.refreshed.is_set()

    async def _say(self, view: RouteView) -> bool:
        """Write the status if it has changed; gives whether it is true now."""
        route = view.route
        if not self._is_handled(route):
            return False
        try:
            await self._writer.say(route, route_status(view, self._assessments.of(route), self._clock()))
        except ConflictError:
            return False  # somebody has changed the route: it is judged again
        except ClusterError as error:
            self._meter.failed()
            log.warning("a route's status was not written: trying again", route=route.key, error=str(error))
            return False
        return True

    def _is_handled(self, route: Route) -> bool:
        """Whether a status may be written: that of a new generation is the handler's, unless that never comes.

        kopf writes it once, together with its own mark, which is `observedGeneration`; so it takes ours for its own.
        """
        if route.status.observed_generation == route.generation:
            self._unhandled.pop(route.key, None)
            return True
        now, known = time.monotonic(), self._unhandled.get(route.key)
        if known is None or known.generation != route.generation:
            known = self._unhandled[route.key] = _Unhandled(route.generation, now)
        return now - known.since >= _HANDLER_SECONDS

    def _touch(self, key: RouteKey) -> None:
        if (rounds := self._rounds.get(key)) is not None:
            rounds.touch()

    def _link_changed(self, old: Link | None, new: Link | None) -> None:
        """A pod carries more links or fewer."""
        link = new or old
        if link is not None and (old and old.held_by) != (new and new.held_by):
            self._touch(link.group)


class _Rounds:
    """The state timer of one route: what is due, read and said, round by round."""

    def __init__(
        self,
        views: RouteViews,
        key: RouteKey,
        refresh: Refresh,
        say: Callable[[RouteView], Awaitable[bool]],
        meter: TimerMeter,
    ) -> None:
        self._views = views
        self._key = key
        self._refresh = refresh
        self._say = say
        self._meter = meter
        self._wake = asyncio.Event()
        self._period = Period(time.monotonic, random.random)
        self._look_again = _LOOK_AGAIN_SECONDS
        self._reading: asyncio.Task[None] | None = None
        self._has_newcomers, self._newcomers_from = False, 0.0
        self._is_said, self._quiet_until = False, 0.0
        self._speaks_from = time.monotonic() + _FIRST_READING_SECONDS
        self.refreshed = asyncio.Event()
        """Set when what nobody announces was read for the first time."""

    def touch(self) -> None:
        """The status may no longer be true."""
        self._is_said = False
        self._wake.set()

    async def run(self, stopped: kopf.DaemonStopped) -> None:
        """Go on until stopped."""
        unwatch = self._views.watch(self._key, self._view_changed)
        end = asyncio.ensure_future(stopped.wait())
        try:
            while not stopped:
                self._wake.clear()
                pause = await self._round()
                woken = asyncio.create_task(self._wake.wait())
                await asyncio.wait({woken, end}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
        finally:
            end.cancel()
            unwatch()
            if self._reading is not None:
                self._reading.cancel()

    def _view_changed(self) -> None:
        self._has_newcomers = True
        self.touch()

    async def _round(self) -> float:
        """Do what is due; gives the seconds until something else is."""
        view = self._views.get(self._key)
        if view is None or view.route.deleting:
            return _SETTLE_SECONDS
        self._read(view)
        if not self._is_said and self._may_say(view) and time.monotonic() >= self._quiet_until:
            self._is_said = True  # unless touched meanwhile
            if not await self._say(view):
                self._is_said = False
            self._quiet_until = time.monotonic() + max(_SETTLE_SECONDS, len(view.pods) / _PODS_A_SECOND)
        return self._pause(view)

    def _may_say(self, view: RouteView) -> bool:
        """Whether enough was read: the first status after a start would else leave out what is about to be heard."""
        return view.is_known and (self.refreshed.is_set() or time.monotonic() >= self._speaks_from)

    def _pause(self, view: RouteView) -> float:
        now = time.monotonic()
        # While it reads, it is woken by the end of that.
        pause = math.inf if self._reading else self._period.due_in(self._seconds(view))
        if not self._is_said and self._may_say(view):
            pause = min(pause, self._quiet_until - now)
        if self._has_newcomers and not self._reading:
            pause = min(pause, self._newcomers_from - now)
        if not self.refreshed.is_set():
            pause = min(pause, _FIRST_READING_SECONDS)
        return max(0.0, min(pause, view.route.spec.state_period_seconds))

    def _seconds(self, view: RouteView) -> float:
        """How long until the next turn: a workload that was not found, and is not watched, is looked for sooner."""
        seconds = float(view.route.spec.state_period_seconds)
        return seconds if view.workload is not None else min(seconds, self._look_again)

    def _read(self, view: RouteView) -> None:
        """Begin to read what is due, unless the last reading is still under way."""
        if self._reading is not None:
            return
        seconds, now = self._seconds(view), time.monotonic()
        if not self._period.due_in(seconds):
            self._meter.late(self._period.begin(seconds))
            self._look_again = _LOOK_AGAIN_SECONDS if view.workload is not None else self._look_again * 2
            self._begin(self._turn(view.route))
        elif self._has_newcomers and not self._refresh.reads(view.route):
            self._has_newcomers = False
        elif self._has_newcomers and now >= self._newcomers_from:
            self._newcomers_from = now + _SETTLE_SECONDS
            self._begin(self._refresh.newcomers(view.route))

    async def _turn(self, route: Route) -> None:
        with self._meter.turn(route.key):
            await self._refresh.turn(route)

    def _begin(self, reading: Coroutine[Any, Any, None]) -> None:
        self._has_newcomers = False
        self._reading = asyncio.create_task(reading)
        self._reading.add_done_callback(self._end)

    def _end(self, reading: asyncio.Task[None]) -> None:
        self._reading = None
        if reading.cancelled():
            return
        if (error := reading.exception()) is not None:
            self._meter.failed()
            # One route's trouble must not end its timer.
            log.error("an unexpected error: trying again", route=self._key, exc_info=error)
        self.refreshed.set()
        self.touch()
