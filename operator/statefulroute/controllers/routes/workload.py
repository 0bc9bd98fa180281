"""Assesses how busy a service is."""

import structlog

from statefulroute.cluster.clock import Clock
from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.retry_after import NamespacePauses, retry_pause
from statefulroute.controllers.monitoring.timers import TimerMeter
from statefulroute.controllers.routes.assessments import Assessments
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain import events
from statefulroute.domain.annotations import is_annotator, workload_annotations
from statefulroute.domain.assessment import assess
from statefulroute.domain.route import RouteView

log = structlog.get_logger(__name__)


class WorkloadAssessor:
    """Assesses services, writes the assessments into annotations of their workloads, and records an event of a change.

    Args:
        informers: the caches.
        route_store: knows which routes share a workload.
        assessments: where the assessments are stored.
        recorder: writes events.
        meter: counts failures.
        clock: the time of day.
        annotates: whether workloads are annotated.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that an assessment needs
        self,
        informers: Informers,
        route_store: RouteStore,
        assessments: Assessments,
        recorder: EventRecorder,
        meter: TimerMeter,
        clock: Clock,
        *,
        annotates: bool = True,
    ) -> None:
        self._informers = informers
        self._route_store = route_store
        self._assessments = assessments
        self._recorder = recorder
        self._meter = meter
        self._clock = clock
        self._annotates = annotates
        self._pauses = NamespacePauses()
        """Where the API server asks not to annotate workloads for a while."""

    async def assess(self, view: RouteView) -> bool:
        """Assesses a service and annotates its workload; returns whether no retry is necessary."""
        route, workloads, now = view.route, self._informers.workloads, self._clock()
        assessment = assess(view, now)
        previous = self._assessments.put(route, assessment)
        self._recorder.record(events.workload_state_event(route, previous.state, assessment), route.uid)
        routes = self._route_store.routes_to(route.workload_key)
        if view.workload is None or not self._annotates or not is_annotator(route, routes):
            return True
        if not self._pauses.allows(route.namespace):
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
            self._pauses.pause(route.namespace, retry_pause(0.0, error.retry_after_seconds))
            return False
        return True
