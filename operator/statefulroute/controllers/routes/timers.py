"""When the work on a route is due: polls of its state, writes of its status, and assessments of its service."""

import random
import time
from collections.abc import Awaitable, Callable

import structlog

from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.retry_after import retry_pause
from statefulroute.controllers.monitoring.timers import TimerMeter
from statefulroute.controllers.routes.period import Period
from statefulroute.controllers.routes.route_timer import RepeatedWork, RouteTimer
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.route import Route, RouteView

log = structlog.get_logger(__name__)

#: Work on a route; returns whether it succeeded.
RouteWork = Callable[[RouteView], Awaitable[bool]]

#: A status is written at once, and the next one at the earliest after this time: a rollout changes many pods at once,
#: and a wave of users many links. The time grows with the number of pods, because their statuses are written together.
_SETTLE_SECONDS = 1.0
_PODS_A_SECOND = 100

#: How soon a workload that is not watched and was not found is read again; the time doubles with each attempt.
_RETRY_SECONDS = 1.0

#: How long the first status waits for pods that are slow to answer with their load.
_FIRST_POLL_SECONDS = 5.0

#: How long the handler of a new generation may take to write the status. kopf gives up a write that fails for about a
#: minute, and does not retry it before the next edit.
_HANDLER_SECONDS = 10.0

#: How soon a failed assessment is repeated.
_ASSESSMENT_RETRY_SECONDS = 5.0

#: How many routes are polled, written and assessed at the same time. A poll waits for pods, for up to a minute; a write
#: and an assessment only for the API server.
_POLLS, _WRITES, _ASSESSMENTS = 256, 16, 16


class _PolledRoute(RepeatedWork):
    """When a route is polled."""

    __slots__ = ("has_new_pods", "is_polled", "next_new_pod_poll", "period", "retry_seconds")

    def __init__(self) -> None:
        super().__init__()
        self.period = Period(time.monotonic, random.random)
        self.retry_seconds = _RETRY_SECONDS
        self.has_new_pods, self.next_new_pod_poll = False, 0.0
        self.is_polled = False


class StateTimer(RouteTimer[_PolledRoute]):
    """Polls what is not watched: every `statePeriodSeconds`, and new pods as soon as they appear.

    Args:
        informers: the caches.
        route_store: the views of routes.
        refresh: polls everything of a route; returns whether there was nothing to do.
        poll_new_pods: polls what has not been polled yet of a route.
        needs_polling: returns whether something of a route has to be polled, because it is not watched.
        polled: called with each route after a poll.
        meter: measures the runs.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that a poll needs
        self,
        informers: Informers,
        route_store: RouteStore,
        refresh: Callable[[Route], Awaitable[bool]],
        poll_new_pods: Callable[[Route], Awaitable[None]],
        needs_polling: Callable[[Route], bool],
        polled: Callable[[RouteKey], None],
        meter: TimerMeter,
    ) -> None:
        super().__init__(_POLLS, meter, cancels=True)  # a poll may wait for pods, for up to a minute
        self._informers = informers
        self._route_store = route_store
        self._refresh = refresh
        self._poll_new_pods = poll_new_pods
        self._needs_polling = needs_polling
        self._polled = polled

    def has_polled(self, route: RouteKey) -> bool:
        """Returns whether what is not watched of a route has been polled at least once."""
        polled = self._routes.get(route)
        return polled is not None and polled.is_polled

    def add(self, route: RouteKey, delay: float = 0.0) -> None:  # noqa: ARG002 - nothing of it waits
        """Polls a route from now on."""
        self._routes[route] = _PolledRoute()
        self._turns.add(route)

    def edited(self, route: RouteKey) -> None:
        """Polls a route when its new period requires it."""
        self._turns.add(route)

    def view_changed(self, route: RouteKey) -> None:
        """Polls the new pods of a route, unless it is watched."""
        polled = self._routes.get(route)
        if polled is None or polled.has_new_pods:
            return
        current = self._informers.routes.cache.get(*route)
        if current is not None and self._needs_polling(current):
            polled.has_new_pods = True
            self._turns.add(route)

    async def _turn(self, key: RouteKey) -> None:
        polled, view = self._routes.get(key), self._route_store.get(key)
        if polled is None or view is None or view.route.is_deleting:
            return
        seconds, now = self._seconds(polled, view), time.monotonic()
        if not polled.period.due_in(seconds):
            self._meter.observe_lag(polled.period.start(seconds))
            polled.retry_seconds = _RETRY_SECONDS if view.workload is not None else polled.retry_seconds * 2
            polled.has_new_pods = False
            await self._poll(key, self._refresh_route(polled, view.route))
        elif polled.has_new_pods and now >= polled.next_new_pod_poll:
            polled.has_new_pods, polled.next_new_pod_poll = False, now + _SETTLE_SECONDS
            await self._poll(key, self._poll_new_pods(view.route))
        self._add_next(key)

    async def _refresh_route(self, polled: _PolledRoute, route: Route) -> None:
        revision = self._route_store.revision(route.key)
        polled.invalidate()
        with self._meter.span(route.key):
            if await self._refresh(route):
                polled.complete(revision)

    def _skip(self, key: RouteKey) -> float | None:
        polled = self._routes.get(key)
        if polled is None or polled.has_new_pods or not polled.is_complete(self._route_store.revision(key)):
            return None
        view = self._route_store.get(key)
        if view is None or self._needs_polling(view.route):
            return None
        return self._skip_run(polled.period, view.route.spec.state_period_seconds)

    async def _poll(self, key: RouteKey, poll: Awaitable[None]) -> None:
        try:
            await poll
        except Exception:
            self._meter.count_failure()
            log.exception("an unexpected error: trying again", route=key)
        if (polled := self._routes.get(key)) is not None:
            polled.is_polled = True
            self._polled(key)

    def _add_next(self, key: RouteKey) -> None:
        polled, view = self._routes.get(key), self._route_store.get(key)
        if polled is None or view is None:
            return
        pause = polled.period.due_in(self._seconds(polled, view))
        if polled.has_new_pods:
            pause = min(pause, polled.next_new_pod_poll - time.monotonic())
        # A time that has just come is left to another turn: other routes have theirs first.
        self._turns.add_after(key, pause)

    def _seconds(self, polled: _PolledRoute, view: RouteView) -> float:
        """Returns the length of the period; a workload that is not watched and was not found is read again sooner."""
        seconds = float(view.route.spec.state_period_seconds)
        if view.workload is not None or self._informers.workloads.is_watched(view.route):
            return seconds
        return min(seconds, polled.retry_seconds)


class _WrittenRoute(RepeatedWork):
    """When the status of a route is written."""

    __slots__ = (
        "first_write_deadline",
        "is_current",
        "next_write",
        "unhandled_generation",
        "unhandled_since",
    )

    def __init__(self) -> None:
        super().__init__()
        self.first_write_deadline = time.monotonic() + _FIRST_POLL_SECONDS
        self.is_current, self.next_write = False, 0.0
        self.unhandled_generation, self.unhandled_since = 0, 0.0

    def seconds_for_handler(self, route: Route, now: float) -> float:
        """Returns how long the handler of a new generation has time to write the status, before the timer does.

        The handler writes the first status of a new generation, together with `observedGeneration`, by which kopf
        knows that the generation was handled; kopf would take the timer's status for it.
        """
        if route.is_handled:
            return 0.0
        if self.unhandled_generation != route.generation:
            self.unhandled_generation, self.unhandled_since = route.generation, now
        return self.unhandled_since + _HANDLER_SECONDS - now


class StatusTimer(RouteTimer[_WrittenRoute]):
    """Writes the statuses of routes: at once after a change, and then at most once a second.

    Args:
        route_store: the views of routes.
        write: writes the status of a route if it has changed; returns whether it is up to date.
        has_polled: returns whether a route has been polled: the first status after a start waits for that.
        meter: counts failures.
    """

    def __init__(
        self, route_store: RouteStore, write: RouteWork, has_polled: Callable[[RouteKey], bool], meter: TimerMeter
    ) -> None:
        super().__init__(_WRITES, meter)
        self._route_store = route_store
        self._write = write
        self._has_polled = has_polled

    def add(self, route: RouteKey, delay: float = 0.0) -> None:
        """Keeps the status of a route up to date from now on."""
        written = self._routes[route] = _WrittenRoute()
        written.next_write = time.monotonic() + delay
        self._turns.add_after(route, _FIRST_POLL_SECONDS)

    def edited(self, route: RouteKey) -> None:
        """Compares the status of a route soon."""
        self.invalidate(route)

    def polled(self, route: RouteKey) -> None:
        """Compares the status of a route that was polled, if it may have changed or has waited for that."""
        written = self._routes.get(route)
        if written is not None and not written.is_complete(self._route_store.revision(route)):
            self.unblock(route)

    def unblock(self, route: RouteKey) -> None:
        """Compares the status of a route soon that may have waited for that: it was polled or handled."""
        if (written := self._routes.get(route)) is not None:
            written.is_current = False
            self._turns.add_after(route, written.next_write - time.monotonic())

    def invalidate(self, route: RouteKey) -> None:
        """Compares the status of a route soon."""
        if (written := self._routes.get(route)) is None:
            return
        written.is_current = False
        written.invalidate()
        self._turns.ensure(route, written.next_write - time.monotonic())

    async def _turn(self, key: RouteKey) -> None:
        written, view = self._routes.get(key), self._route_store.get(key)
        if written is None or view is None or view.route.is_deleting or not view.is_workload_known:
            return  # a change of the view invalidates the status
        if written.is_current:
            return
        now = time.monotonic()
        first = 0.0 if self._has_polled(key) else written.first_write_deadline
        pause = max(first - now, written.next_write - now, written.seconds_for_handler(view.route, now))
        if pause > 0:
            self._turns.add_after(key, pause)
            return
        revision = self._route_store.revision(key)
        written.is_current = True  # unless it is invalidated meanwhile
        is_written, pause = False, max(_SETTLE_SECONDS, len(view.pods) / _PODS_A_SECOND)
        try:
            is_written = await self._write(view)
        except ClusterError as error:
            self._meter.count_failure()
            log.warning("a route's status was not written: trying again", route=key, error=str(error))
            pause = max(pause, retry_pause(0.0, error.retry_after_seconds))
        except Exception:
            self._meter.count_failure()
            log.exception("an unexpected error: trying again", route=key)
        written.next_write = time.monotonic() + pause
        written.is_current = written.is_current and is_written
        if written.is_current:
            written.complete(revision)
        elif self._routes.get(key) is written:
            self._turns.add_after(key, written.next_write - time.monotonic())


class _AssessedRoute(RepeatedWork):
    """When the service of a route is assessed."""

    __slots__ = ("generation", "period")

    def __init__(self) -> None:
        super().__init__()
        self.period = Period(time.monotonic, random.random)
        self.generation: int | None = None
        """The generation of the route at its last assessment that has succeeded; None before, and when it is due."""


class WorkloadTimer(RouteTimer[_AssessedRoute]):
    """Assesses how busy services are: every `workloadPeriodSeconds`, and after every edit of their routes.

    Args:
        route_store: the views of routes.
        assess: assesses the service of a route; returns whether no retry is necessary.
        has_polled: returns whether a route has been polled: its service is assessed only afterwards.
        meter: measures the runs.
    """

    def __init__(
        self, route_store: RouteStore, assess: RouteWork, has_polled: Callable[[RouteKey], bool], meter: TimerMeter
    ) -> None:
        super().__init__(_ASSESSMENTS, meter)
        self._route_store = route_store
        self._assess = assess
        self._has_polled = has_polled

    def add(self, route: RouteKey, delay: float = 0.0) -> None:  # noqa: ARG002 - nothing of it waits
        """Assesses the service of a route from its first poll on."""
        self._routes[route] = _AssessedRoute()

    def edited(self, route: RouteKey) -> None:
        """Assesses the service of a route again."""
        if route in self._routes:
            self._turns.add(route)

    def polled(self, route: RouteKey) -> None:
        """Assesses the service of a route that was polled for the first time."""
        assessed = self._routes.get(route)
        if assessed is not None and assessed.generation is None:
            self._turns.ensure(route, 0.0)

    async def _turn(self, key: RouteKey) -> None:
        assessed, view = self._routes.get(key), self._route_store.get(key)
        if assessed is None or view is None or view.route.is_deleting or not self._has_polled(key):
            return
        seconds = view.route.spec.workload_period_seconds
        if not assessed.period.due_in(seconds):
            self._meter.observe_lag(assessed.period.start(seconds))
            assessed.generation = None
        if assessed.generation != view.route.generation:
            revision = self._route_store.revision(key)
            with self._meter.span(key):
                assessed.generation = await self._assess_view(view)
            if assessed.generation is not None:
                assessed.complete(revision)
        pause = _ASSESSMENT_RETRY_SECONDS if assessed.generation is None else assessed.period.due_in(seconds)
        if self._routes.get(key) is assessed:
            self._turns.add_after(key, pause)

    def _skip(self, key: RouteKey) -> float | None:
        assessed = self._routes.get(key)
        if assessed is None or not assessed.is_complete(self._route_store.revision(key)):
            return None
        view = self._route_store.get(key)
        if view is None or assessed.generation != view.route.generation:
            return None
        return self._skip_run(assessed.period, view.route.spec.workload_period_seconds)

    async def _assess_view(self, view: RouteView) -> int | None:
        """Assesses a service; returns the generation of the route, or None if that has to be repeated."""
        try:
            return view.route.generation if await self._assess(view) else None
        except Exception:
            self._meter.count_failure()
            log.exception("an unexpected error: trying again", route=view.route.key)
            return None
