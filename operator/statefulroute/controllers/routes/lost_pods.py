"""The lost pods of each route that have links, and the events of their losses."""

from statefulroute.cluster.clock import Clock
from statefulroute.cluster.events import EventRecorder
from statefulroute.domain.events import lost_pods_events
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.lost_pods import LostPods, follow_lost_pods, lost_pods_of
from statefulroute.domain.route import RouteView


class LostPodTracker:
    """Follows the lost pods of routes, and records an event when a loss begins or ends.

    The tracker observes each view before its links are reconciled, because links of lost pods may move within
    milliseconds, and statuses are written once a second. A route that was not observed yet has the lost pods in its
    status, so a restart or another leader repeats no event.

    Args:
        recorder: writes events.
        clock: the time of day.
    """

    def __init__(self, recorder: EventRecorder, clock: Clock) -> None:
        self._recorder = recorder
        self._clock = clock
        self._lost: dict[RouteKey, LostPods] = {}

    def observe(self, view: RouteView) -> LostPods:
        """Returns the lost pods of a route that have links."""
        route = view.route
        before = self._lost.get(route.key)
        if before is None:
            before = lost_pods_of(route)
        if not before and not view.lost:
            return before
        after = self._lost[route.key] = follow_lost_pods(view, before, self._clock())
        for event in lost_pods_events(view, before, after):
            self._recorder.record(event, route.uid)
        return after

    def forget(self, key: RouteKey) -> None:
        """Drops the lost pods of a route that is deleted, or that this operator does not lead any more."""
        self._lost.pop(key, None)
