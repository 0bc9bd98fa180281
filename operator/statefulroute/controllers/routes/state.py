"""The state timer: writes the status of a route at every change, and polls what is not watched every period."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

import kopf
import structlog

from statefulroute.cluster.errors import ClusterError, ConflictError
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.retry_after import retry_pause
from statefulroute.cluster.writes import RouteWriter
from statefulroute.controllers.monitoring.timers import TimerMeter
from statefulroute.controllers.routes.assessments import Assessments
from statefulroute.controllers.routes.lost_pods import LostPodTracker
from statefulroute.controllers.routes.period import Period
from statefulroute.controllers.routes.refresh import RouteRefresher
from statefulroute.controllers.routes.statuses import RouteStatuses
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.route import Route, RouteView

log = structlog.get_logger(__name__)

#: A status is written at once, and the next one at the earliest after this time: a rollout changes many pods at once,
#: and a wave of users many links. The time grows with the number of pods, because their statuses are written together.
_SETTLE_SECONDS = 1.0
_PODS_A_SECOND = 100

#: How soon a workload that is not watched and was not found is read again; the time doubles with each attempt.
_RETRY_SECONDS = 1.0

#: How long the handler of a new generation may take to write the status. kopf gives up a write that fails for about a
#: minute, and does not retry it before the next edit.
_HANDLER_SECONDS = 10.0

#: How long the first status waits for pods that are slow to answer with their load.
_FIRST_POLL_SECONDS = 5.0


class _Unhandled(NamedTuple):
    """A generation of a route whose handler has not written the status, and the time since which that is known."""

    generation: int
    since: float


class StateTimer:
    """Keeps the status of routes up to date.

    Args:
        informers: the caches; the timer listens to that of links.
        route_store: the views of routes.
        refresher: polls what is not watched.
        writer: writes the status of a route.
        assessments: how busy the services are; the timer listens to them.
        meter: measures the runs.
        statuses: builds the statuses of routes.
        lost_pods: the lost pods of the routes that this operator leads.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that a status needs
        self,
        informers: Informers,
        route_store: RouteStore,
        refresher: RouteRefresher,
        writer: RouteWriter,
        assessments: Assessments,
        meter: TimerMeter,
        statuses: RouteStatuses,
        lost_pods: LostPodTracker,
    ) -> None:
        self._route_store = route_store
        self._refresher = refresher
        self._writer = writer
        self._meter = meter
        self._statuses = statuses
        self._lost_pods = lost_pods
        self._timers: dict[RouteKey, _RouteStateTimer] = {}
        self._unhandled: dict[RouteKey, _Unhandled] = {}
        informers.links.cache.listen(self._link_changed)
        assessments.listen(self._invalidate)

    async def run(self, key: RouteKey, stopped: kopf.DaemonStopped) -> None:
        """Keeps the status of one route up to date until stopped."""
        timer = self._timers[key] = _RouteStateTimer(
            self._route_store, key, self._refresher, self._write_status, self._meter
        )
        try:
            await timer.run(stopped)
        finally:
            if self._timers.get(key) is timer:
                del self._timers[key]
                self._unhandled.pop(key, None)
                self._refresher.forget(key)
                self._lost_pods.forget(key)

    def has_polled(self, key: RouteKey) -> bool:
        """Returns whether what is not watched of a route has been polled at least once."""
        timer = self._timers.get(key)
        return timer is not None and timer.polled.is_set()

    async def _write_status(self, view: RouteView) -> bool:
        """Writes the status of a route if it has changed; returns whether it is up to date."""
        route = view.route
        if not self._is_handled(route):
            return False
        try:
            status = self._statuses.build(view)
            workload = self._refresher.annotated_workload(route) or status.workload
            status = status.model_copy(update={"workload": workload})
            await self._writer.update_status(route, status)
        except ConflictError:
            return False  # another client has changed the route; the next status is of its new version
        except ClusterError as error:
            self._meter.count_failure()
            log.warning("a route's status was not written: trying again", route=route.key, error=str(error))
            if (timer := self._timers.get(route.key)) is not None:
                timer.hold_writes(retry_pause(0.0, error.retry_after_seconds))
            return False
        self._statuses.record_changes(route, status)
        return True

    def _is_handled(self, route: Route) -> bool:
        """Returns whether the timer may write a status.

        The handler writes the first status of a new generation, together with `observedGeneration`, by which kopf
        knows that the generation was handled; kopf would take the timer's status for it. If the handler does not write
        in time, the timer does.
        """
        if route.status.observed_generation == route.generation:
            self._unhandled.pop(route.key, None)
            return True
        now, unhandled = time.monotonic(), self._unhandled.get(route.key)
        if unhandled is None or unhandled.generation != route.generation:
            unhandled = self._unhandled[route.key] = _Unhandled(route.generation, now)
        return now - unhandled.since >= _HANDLER_SECONDS

    def _invalidate(self, key: RouteKey) -> None:
        if (timer := self._timers.get(key)) is not None:
            timer.invalidate()

    def _link_changed(self, old: Link | None, new: Link | None) -> None:
        """Invalidates the status of a route whose pods carry more links or fewer, and of the routes that share them."""
        link = new or old
        if link is not None and (old and old.assigned_pod) != (new and new.assigned_pod):
            for key in (link.route, *self._route_store.others(link.route)):
                self._invalidate(key)


class _RouteStateTimer:
    """The state timer of one route."""

    def __init__(
        self,
        route_store: RouteStore,
        key: RouteKey,
        refresher: RouteRefresher,
        write_status: Callable[[RouteView], Awaitable[bool]],
        meter: TimerMeter,
    ) -> None:
        self._route_store = route_store
        self._key = key
        self._refresher = refresher
        self._write_status = write_status
        self._meter = meter
        self._wake = asyncio.Event()
        self._period = Period(time.monotonic, random.random)
        self._retry_seconds = _RETRY_SECONDS
        self._poll: asyncio.Task[None] | None = None
        self._has_new_pods, self._next_new_pod_poll = False, 0.0
        self._is_status_current, self._next_write = False, 0.0
        self._first_write_deadline = time.monotonic() + _FIRST_POLL_SECONDS
        self.polled = asyncio.Event()
        """Set when what is not watched has been polled for the first time."""

    def invalidate(self) -> None:
        """Makes the timer compare and write the status soon."""
        self._is_status_current = False
        self._wake.set()

    def hold_writes(self, seconds: float) -> None:
        """Delays the next write, because the API server asks for a pause."""
        self._next_write = time.monotonic() + seconds

    async def run(self, stopped: kopf.DaemonStopped) -> None:
        """Polls and writes until stopped."""
        unwatch = self._route_store.watch(self._key, self._view_changed)
        end = asyncio.ensure_future(stopped.wait())
        try:
            while not stopped:
                self._wake.clear()
                pause = await self._run_due()
                woken = asyncio.create_task(self._wake.wait())
                await asyncio.wait({woken, end}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
        finally:
            end.cancel()
            unwatch()
            if self._poll is not None:
                self._poll.cancel()

    def _view_changed(self) -> None:
        self._has_new_pods = True
        self.invalidate()

    async def _run_due(self) -> float:
        """Does what is due; returns the seconds until something else is due."""
        view = self._route_store.get(self._key)
        if view is None or view.route.is_deleting:
            return _SETTLE_SECONDS
        self._start_due_poll(view)
        if not self._is_status_current and self._can_write(view) and time.monotonic() >= self._next_write:
            self._is_status_current = True  # unless it is invalidated meanwhile
            if not await self._write_status(view):
                self._is_status_current = False
            settled = time.monotonic() + max(_SETTLE_SECONDS, len(view.pods) / _PODS_A_SECOND)
            self._next_write = max(self._next_write, settled)
        return self._pause(view)

    def _can_write(self, view: RouteView) -> bool:
        """Returns whether enough was read for a status: the first one after a start waits for the loads of the pods."""
        return view.is_workload_known and (self.polled.is_set() or time.monotonic() >= self._first_write_deadline)

    def _pause(self, view: RouteView) -> float:
        now = time.monotonic()
        # The end of a poll wakes the timer.
        pause = math.inf if self._poll else self._period.due_in(self._seconds(view))
        if not self._is_status_current and self._can_write(view):
            pause = min(pause, self._next_write - now)
        if self._has_new_pods and not self._poll:
            pause = min(pause, self._next_new_pod_poll - now)
        if not self.polled.is_set():
            pause = min(pause, _FIRST_POLL_SECONDS)
        return max(0.0, min(pause, view.route.spec.state_period_seconds))

    def _seconds(self, view: RouteView) -> float:
        """Returns the length of the period; a workload that is not watched and was not found is read again sooner."""
        seconds = float(view.route.spec.state_period_seconds)
        return seconds if view.workload is not None else min(seconds, self._retry_seconds)

    def _start_due_poll(self, view: RouteView) -> None:
        """Starts polling what is due, unless the last poll is still running."""
        if self._poll is not None:
            return
        seconds, now = self._seconds(view), time.monotonic()
        if not self._period.due_in(seconds):
            self._meter.observe_lag(self._period.start(seconds))
            self._retry_seconds = _RETRY_SECONDS if view.workload is not None else self._retry_seconds * 2
            self._start_poll(self._refresh_route(view.route))
        elif self._has_new_pods and not self._refresher.needs_polling(view.route):
            self._has_new_pods = False
        elif self._has_new_pods and now >= self._next_new_pod_poll:
            self._next_new_pod_poll = now + _SETTLE_SECONDS
            self._start_poll(self._refresher.poll_new_pods(view.route))

    async def _refresh_route(self, route: Route) -> None:
        with self._meter.span(route.key):
            await self._refresher.refresh(route)

    def _start_poll(self, poll: Coroutine[Any, Any, None]) -> None:
        self._has_new_pods = False
        self._poll = asyncio.create_task(poll)
        self._poll.add_done_callback(self._poll_done)

    def _poll_done(self, poll: asyncio.Task[None]) -> None:
        self._poll = None
        if poll.cancelled():
            return
        if (error := poll.exception()) is not None:
            self._meter.count_failure()
            # An error of one run must not stop the timer.
            log.error("an unexpected error: trying again", route=self._key, exc_info=error)
        self.polled.set()
        self.invalidate()
