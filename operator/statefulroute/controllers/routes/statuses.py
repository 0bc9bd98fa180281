"""The statuses of routes, and the events of their changes."""

from datetime import datetime

from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.cluster.clock import Clock
from statefulroute.cluster.events import EventRecorder
from statefulroute.controllers.disruption.statuses import DisruptionStatuses
from statefulroute.controllers.routes.assessments import Assessments
from statefulroute.controllers.routes.lost_pods import LostPodTracker
from statefulroute.controllers.slots.statuses import SlotStatuses
from statefulroute.domain.events import route_status_events
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.placement import current_index
from statefulroute.domain.placement_index import PlacementIndex
from statefulroute.domain.pod_summary import PodSummary, summarize_pods
from statefulroute.domain.pod_summary_index import PodSummaryIndex
from statefulroute.domain.route import Route, RouteView
from statefulroute.domain.route_status import route_status

#: Up to this number of pods, a status is built from all of them: an index would take more memory than it saves time.
_FEW_PODS = 20


class RouteStatuses:
    """Builds the statuses of routes, and records the events of their changes.

    Args:
        assessments: how busy the services are.
        lost_pods: the lost pods of the routes.
        disruptions: what the plans of planned disruptions state.
        recorder: writes events.
        clock: the time of day.
        slots: what is known of the slots of routes; None if links of slots are not created.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that statuses depend on
        self,
        assessments: Assessments,
        lost_pods: LostPodTracker,
        disruptions: DisruptionStatuses,
        recorder: EventRecorder,
        clock: Clock,
        slots: SlotStatuses | None = None,
    ) -> None:
        self._assessments = assessments
        self._lost_pods = lost_pods
        self._disruptions = disruptions
        self._slots = slots
        self._recorder = recorder
        self._clock = clock
        self._summaries: dict[RouteKey, PodSummaryIndex] = {}
        """The summaries of routes with many pods."""

    def build(self, view: RouteView) -> StatefulRouteStatus:
        """Returns the current status of a route."""
        now, assessment = self._clock(), self._assessments.of(view.route)
        lost_pods, disruption = self._lost_pods.observe(view), self._disruptions.of(view.route)
        slots = {} if self._slots is None else self._slots.conditions(view, now)
        return route_status(view, assessment, now, lost_pods, self._summarize(view, now), disruption, slots)

    def forget(self, route: RouteKey) -> None:
        """Drops the summary of a route that is deleted, or that this operator does not lead any more."""
        self._summaries.pop(route, None)

    def _summarize(self, view: RouteView, now: datetime) -> PodSummary:
        """Returns the summary of the pods of a route, by what has changed since the last one if there are many."""
        key, index = view.route.key, current_index(view)
        known = self._summaries.get(key)
        if index is None or known is None or not known.is_of(index):
            self._summaries.pop(key, None)
            if not isinstance(index, PlacementIndex) or len(view.pods) <= _FEW_PODS:
                return summarize_pods(view, now)
            known = self._summaries[key] = PodSummaryIndex(view, index)
        return known.summarize(view, now)

    def record_changes(self, route: Route, status: StatefulRouteStatus) -> None:
        """Records the events of a new status of a route."""
        for event in route_status_events(route, status):
            self._recorder.record(event, route.uid)
