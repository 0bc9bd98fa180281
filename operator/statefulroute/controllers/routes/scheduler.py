"""The scheduler of the work on routes: no route has a task of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from statefulroute.cluster.informers import Informers
from statefulroute.controllers.links.controller import LinkController
from statefulroute.controllers.monitoring.timers import Timer, TimerMetrics
from statefulroute.controllers.routes.assessments import Assessments
from statefulroute.controllers.routes.route_timer import RouteTimer
from statefulroute.controllers.routes.timers import RouteWork, StateTimer, StatusTimer, WorkloadTimer
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.route import Route

#: How many routes are added at the start before other tasks run.
_CHUNK_SIZE = 50

#: How many statuses are compared in a second after the start: most of them are true, and links and loads go first. The
#: first is compared when so many routes a second would have been served.
_STATUSES_A_SECOND, _SERVED_A_SECOND = 1_000, 5_000


class RouteScheduler:
    """Works on every route while this operator leads, from the caches, which a standby has already.

    Args:
        informers: the caches; the scheduler listens to those of routes and links.
        route_store: the views of routes; the scheduler watches all of them.
        links: reconciles the links of routes.
        assessments: how busy the services are; the scheduler listens to them.
        metrics: measures the runs of the timers.
        forget: called with each route that is not worked on any more.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that the work on routes needs
        self,
        informers: Informers,
        route_store: RouteStore,
        links: LinkController,
        assessments: Assessments,
        metrics: TimerMetrics,
        forget: Callable[[RouteKey], None],
    ) -> None:
        self._informers = informers
        self._route_store = route_store
        self._links = links
        self._metrics = metrics
        self._forget = forget
        self._state: StateTimer | None = None
        self._status: StatusTimer | None = None
        self._workload: WorkloadTimer | None = None
        self._routes: dict[RouteKey, str] = {}
        """The routes that are worked on, with their UIDs."""
        self._is_started = False
        self._starting: asyncio.Task[None] | None = None
        informers.routes.cache.listen(self._route_changed)
        informers.links.cache.listen(self._link_changed)
        route_store.watch_all(self._view_changed)
        assessments.listen(self._invalidate)

    def poll_state(
        self,
        refresh: Callable[[Route], Awaitable[bool]],
        *,
        new_pods: Callable[[Route], Awaitable[None]],
        needs_polling: Callable[[Route], bool],
    ) -> None:
        """Sets what the state timer calls.

        Args:
            refresh: polls everything of a route; called every `statePeriodSeconds`. It returns whether there was
                nothing to do; then it is not called before something has changed, unless something is polled.
            new_pods: polls what has not been polled yet; called after a change of the pods.
            needs_polling: returns whether something of a route has to be polled, because it is not watched.
        """
        meter = self._metrics.of(Timer.STATE)
        self._state = StateTimer(
            self._informers, self._route_store, refresh, new_pods, needs_polling, self._polled, meter
        )

    def write_status(self, write: RouteWork) -> None:
        """Sets what is called after every change that a status may show, and after every poll."""
        self._status = StatusTimer(self._route_store, write, self.has_polled, self._metrics.of(Timer.STATE))

    def assess_workload(self, assess: RouteWork) -> None:
        """Sets what the workload timer calls: every `workloadPeriodSeconds`, and after every edit."""
        self._workload = WorkloadTimer(self._route_store, assess, self.has_polled, self._metrics.of(Timer.WORKLOAD))

    def has_polled(self, route: RouteKey) -> bool:
        """Returns whether what is not watched of a route has been polled at least once."""
        return self._state is not None and self._state.has_polled(route)

    def invalidate_status(self, route: RouteKey) -> None:
        """Compares the status of a route soon."""
        self._invalidate(route)

    def start(self) -> None:
        """Starts to work on all routes; all caches must be synced."""
        self._is_started = True
        for namespace, name in self._informers.routes.cache:
            self._forget(RouteKey(str(namespace), name))  # what a view has left that was built since the last term
        for timer in self._timers:
            timer.start()
        self._starting = asyncio.create_task(self._add_all())

    async def wait_started(self) -> bool:
        """Waits until all routes are worked on; returns False if the work is stopped before."""
        if self._starting is not None:
            await asyncio.wait([self._starting])
        return self._is_started

    async def stop(self) -> None:
        """Ends the work: finishes writes in flight, and cancels polls."""
        self._is_started = False
        if self._starting is not None:
            self._starting.cancel()
        await asyncio.gather(*(timer.stop() for timer in self._timers))
        for route in self._routes:
            self._forget(route)
        self._routes.clear()

    async def end_route(self, route: RouteKey) -> None:
        """Ends the work on a route that is deleted; then none of it is left."""
        self._drop(route)
        for timer in self._timers:
            await timer.wait_ended(route)
        self._forget(route)

    @property
    def _timers(self) -> tuple[RouteTimer[Any], ...]:
        return tuple(timer for timer in (self._state, self._status, self._workload) if timer is not None)

    async def _add_all(self) -> None:
        """Adds the cached routes in chunks; the listener adds those that appear meanwhile."""
        cache = self._informers.routes.cache
        keys = tuple(cache)
        serving_seconds = len(keys) / _SERVED_A_SECOND
        for number, (namespace, name) in enumerate(keys, start=1):
            route = cache.get(namespace, name)
            if route is not None and not route.is_deleting and route.key not in self._routes:
                self._add(route, delay=serving_seconds + number / _STATUSES_A_SECOND)
            if number % _CHUNK_SIZE == 0:
                await asyncio.sleep(0)

    def _add(self, route: Route, delay: float = 0.0) -> None:
        self._routes[route.key] = route.uid
        self._links.add_route(route.key)
        for timer in self._timers:
            timer.add(route.key, delay)

    def _drop(self, route: RouteKey) -> None:
        if self._routes.pop(route, None) is None:
            return
        self._links.remove_route(route)
        for timer in self._timers:
            timer.drop(route)
        self._forget(route)

    def _route_changed(self, old: Route | None, new: Route | None) -> None:
        if old is not None and (new is None or new.is_deleting or new.uid != old.uid):
            self._drop(old.key)
        if old is not None and new is None:
            self._forget(old.key)  # also if it was dropped when its deletion began: it had views since
        if not self._is_started or new is None or new.is_deleting:
            return
        if old is None or new.key not in self._routes:
            self._add(new)
            return
        if (old.generation, old.spec) != (new.generation, new.spec):
            for timer in self._timers:
                timer.edited(new.key)
        if new.is_handled and not old.is_handled and self._status is not None:
            self._status.unblock(new.key)

    def _link_changed(self, old: Link | None, new: Link | None) -> None:
        """Compares the statuses of a route whose pods carry more links or fewer, and of the routes that share them."""
        link = new or old
        if link is not None and (old and old.assigned_pod) != (new and new.assigned_pod):
            for key in (link.route, *self._route_store.others(link.route)):
                self._invalidate(key)

    def _view_changed(self, route: RouteKey) -> None:
        if self._state is not None:
            self._state.view_changed(route)
        self._invalidate(route)

    def _polled(self, route: RouteKey) -> None:
        if self._status is not None:
            self._status.polled(route)
        if self._workload is not None:
            self._workload.polled(route)

    def _invalidate(self, route: RouteKey) -> None:
        if self._status is not None:
            self._status.invalidate(route)
