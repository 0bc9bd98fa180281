"""The statuses of routes, and the events of their changes."""

from statefulroute.api.statefulroute import StatefulRouteStatus
from statefulroute.cluster.clock import Clock
from statefulroute.cluster.events import EventRecorder
from statefulroute.controllers.routes.assessments import Assessments
from statefulroute.controllers.routes.lost_pods import LostPodTracker
from statefulroute.domain.events import route_status_events
from statefulroute.domain.route import Route, RouteView
from statefulroute.domain.route_status import route_status


class RouteStatuses:
    """Builds the statuses of routes, and records the events of their changes.

    Args:
        assessments: how busy the services are.
        lost_pods: the lost pods of the routes.
        recorder: writes events.
        clock: the time of day.
    """

    def __init__(
        self, assessments: Assessments, lost_pods: LostPodTracker, recorder: EventRecorder, clock: Clock
    ) -> None:
        self._assessments = assessments
        self._lost_pods = lost_pods
        self._recorder = recorder
        self._clock = clock

    def build(self, view: RouteView) -> StatefulRouteStatus:
        """Returns the current status of a route."""
        return route_status(view, self._assessments.of(view.route), self._clock(), self._lost_pods.observe(view))

    def record_changes(self, route: Route, status: StatefulRouteStatus) -> None:
        """Records the events of a new status of a route."""
        for event in route_status_events(route, status):
            self._recorder.record(event, route.uid)
