"""The workload timer: assesses how busy a service is, every `workloadPeriodSeconds` and at every edit of its route."""

import asyncio
import random
import time

import kopf
import structlog

from statefulroute.cluster.clock import Clock
from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.retry_after import retry_pause
from statefulroute.controllers.monitoring.timers import TimerMeter
from statefulroute.controllers.routes.assessments import Assessments
from statefulroute.controllers.routes.period import Period
from statefulroute.controllers.routes.state import StateTimer
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain import events
from statefulroute.domain.annotations import is_annotator, workload_annotations
from statefulroute.domain.assessment import assess
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.route import RouteView

log = structlog.get_logger(__name__)

#: How soon a failed write of annotations is retried.
_RETRY_SECONDS = 5.0

#: How often the timer checks whether the loads were read for the first time.
_FIRST_POLL_CHECK_SECONDS = 0.25


class WorkloadTimer:
    """Assesses services, writes the assessments into annotations of their workloads, and records an event of a change.

    Args:
        informers: the caches.
        route_store: the views of routes.
        state: the state timer; a service is assessed only after it has read the loads.
        assessments: where the assessments are stored.
        recorder: writes events.
        meter: measures the runs.
        clock: the time of day.
        annotates: whether workloads are annotated.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that an assessment needs
        self,
        informers: Informers,
        route_store: RouteStore,
        state: StateTimer,
        assessments: Assessments,
        recorder: EventRecorder,
        meter: TimerMeter,
        clock: Clock,
        *,
        annotates: bool = True,
    ) -> None:
        self._informers = informers
        self._route_store = route_store
        self._state = state
        self._assessments = assessments
        self._recorder = recorder
        self._meter = meter
        self._clock = clock
        self._annotates = annotates
        self._no_annotations_before = 0.0
        """Until when the API server asks not to annotate workloads, in monotonic seconds."""

    async def run(self, key: RouteKey, stopped: kopf.DaemonStopped) -> None:
        """Assesses one service until stopped."""
        period, wake = Period(time.monotonic, random.random), asyncio.Event()
        unwatch = self._route_store.watch(key, wake.set)
        end = asyncio.ensure_future(stopped.wait())
        assessed: int | None = None
        try:
            while not stopped:
                wake.clear()
                pause, view = _RETRY_SECONDS, self._route_store.get(key)
                if view is None or view.route.is_deleting or not self._state.has_polled(key):
                    pause = _FIRST_POLL_CHECK_SECONDS
                else:
                    seconds = view.route.spec.workload_period_seconds
                    if not period.due_in(seconds):
                        self._meter.observe_lag(period.start(seconds))
                        assessed = None
                    if assessed != view.route.generation:
                        with self._meter.span(key):
                            assessed = view.route.generation if await self._assess(view) else None
                    if assessed is not None:
                        pause = period.due_in(seconds)
                woken = asyncio.create_task(wake.wait())
                await asyncio.wait({woken, end}, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
        finally:
            end.cancel()
            unwatch()
            self._assessments.forget(key)  # if this operator leads again, the status has the assessment of another one

    async def _assess(self, view: RouteView) -> bool:
        """Assesses a service and annotates its workload; returns whether no retry is necessary."""
        route, workloads, now = view.route, self._informers.workloads, self._clock()
        assessment, previous = assess(view, now), self._assessments.of(view.route)
        self._assessments.put(route, assessment)
        self._recorder.record(events.workload_state_event(route, previous.state, assessment), route.uid)
        routes = self._informers.routes.cache.in_partition(route.namespace).values()
        if view.workload is None or not self._annotates or not is_annotator(route, routes):
            return True
        if time.monotonic() < self._no_annotations_before:
            return False
        try:
            current = await workloads.annotations(route, view.workload)
            if changes := workload_annotations(assessment, current, now):
                await workloads.annotate(route, changes)
        except ClusterError as error:
            self._meter.count_failure()
            log.warning(
                "the annotations of a workload were not written: trying again", route=route.key, error=str(error)
            )
            self._no_annotations_before = time.monotonic() + retry_pause(0.0, error.retry_after_seconds)
            return False
        return True
