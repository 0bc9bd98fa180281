"""Load tracking: the last load of each pod of each route, and why it could not be read."""

from collections.abc import Callable, Iterable, Mapping

from statefulroute.api.statefulroute import PodStatus
from statefulroute.api.vocabulary import LoadSource, RoutingState
from statefulroute.cluster.clock import Clock
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.load import Load, LoadReport, UnreadableReport
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import Route
from statefulroute.domain.route_status import count_links_at_report


class LoadTracker:
    """The loads of pods, by route and pod.

    A pod is identified by its `metadata.uid` too, because another pod may have the same index or name later.

    Args:
        count_links: returns the current number of links of a route's pod, in all routes to its workload.
        clock: the time of day.
    """

    def __init__(self, count_links: Callable[[RouteKey, PodKey], int], clock: Clock) -> None:
        self._count_links = count_links
        self._clock = clock
        self._loads: dict[RouteKey, dict[PodKey, Load]] = {}
        self._errors: dict[RouteKey, dict[PodKey, str]] = {}
        self._uids: dict[RouteKey, dict[PodKey, str]] = {}
        self._reports: dict[RouteKey, dict[PodKey, LoadReport]] = {}
        """The last report of each pod, as the pod made it."""
        self._statuses: dict[RouteKey, dict[str, PodStatus]] = {}
        """By pod name, the status of the pods that have not reported to this process."""

    def loads_of(self, route: RouteKey) -> Mapping[PodKey, Load]:
        """Returns the loads of a route's pods, as a live view. A pod that has never reported is absent."""
        return self._loads.setdefault(route, {})

    def errors_of(self, route: RouteKey) -> Mapping[PodKey, str]:
        """Returns why the loads of a route's pods could not be read, as a live view.

        A message is the end of a sentence that starts with the pod.
        """
        return self._errors.setdefault(route, {})

    def restore(self, route: RouteKey, statuses: Iterable[PodStatus]) -> None:
        """Stores the status of a route's pods, from which the first report of each pod is completed."""
        self._statuses[route] = {status.name: status for status in statuses}

    def restore_stale(self, route: RouteKey, key: PodKey, pod: Pod) -> None:
        """Stores the stale load that the status of a route has for a pod which has not reported to this process.

        A pod that does not answer polls is thus still known to have stopped to after the operator has restarted.
        """
        status = self._statuses.get(route, {}).get(pod.name)
        if key in self.loads_of(route) or status is None or not status.load_stale:
            return
        if status.load_state is None or status.report_time is None:
            return
        # A status may be restored, or written by somebody else: its time is never later than now.
        time = min(status.report_time, self._clock())
        report = LoadReport(status.load_state, status.waiting_tasks or 0, time)
        self._loads[route][key] = Load(report, count_links_at_report(status, report, 0))
        self._reports.setdefault(route, {})[key] = report
        self._uids.setdefault(route, {})[key] = pod.uid

    def observe(self, route: Route, key: PodKey, pod: Pod, report: LoadReport, routing_state: RoutingState) -> bool:
        """Stores the load of a pod unless it is the known one.

        The present report counts whatever its time is: a pod may report twice in a second, and its clock may be set
        back.

        Returns:
            Whether it may change a decision now. A new figure of a pod whose load is fresh does not: it counts in the
            next decision.
        """
        now = self._clock()
        previous, had_error = self.loads_of(route.key).get(key), self.clear_error(route.key, key)
        if previous is not None and self._reports[route.key][key] == report:
            return had_error
        # The clock of a pod may be ahead: its report is never later than now.
        counted = LoadReport(report.load_state, report.waiting_tasks, min(report.time, now))
        links = self._count_links(route.key, key)
        status = self._statuses.get(route.key, {}).pop(pod.name, None) if previous is None else None
        self._loads[route.key][key] = Load(counted, count_links_at_report(status, report, links), routing_state)
        self._reports.setdefault(route.key, {})[key] = report
        self._uids.setdefault(route.key, {})[key] = pod.uid
        if previous is None or had_error or previous.routing_state is not routing_state:
            return True
        was_fresh = previous.is_fresh(route.spec.load.stale_after_seconds, now)
        return not was_fresh or counted.time < previous.report.time  # an earlier time becomes stale sooner

    def observe_error(self, route: RouteKey, key: PodKey, pod: Pod, message: str) -> bool:
        """Stores why the load of a pod could not be read; returns whether the message is a new one.

        The last load of the pod counts until it is stale.
        """
        if self.errors_of(route).get(key) == message:
            return False
        self._errors[route][key] = message
        self._uids.setdefault(route, {})[key] = pod.uid
        return True

    def observe_annotations(self, route: Route, key: PodKey, pod: Pod) -> bool:
        """Stores the load that a pod's annotations report, if the route reads loads from annotations.

        Returns:
            Whether it may change a decision now.
        """
        if route.spec.load.source is not LoadSource.REPORTED:
            return False
        match pod.load_report:
            case LoadReport():
                return self.observe(route, key, pod, pod.load_report, RoutingState.UNKNOWN)
            case UnreadableReport(message):
                return self.observe_error(route.key, key, pod, message)
            case None:
                return self.clear_error(route.key, key)

    def clear_error(self, route: RouteKey, key: PodKey) -> bool:
        """Removes the error of a pod; returns whether it had one."""
        return self._errors.get(route, {}).pop(key, None) is not None

    def retain(self, route: RouteKey, uids: Mapping[PodKey, str]) -> None:
        """Forgets the loads of all pods of a route but these, which are given with their uids."""
        for key, uid in tuple(self._uids.get(route, {}).items()):
            if uids.get(key) != uid:
                self._drop(route, key)

    def forget(self, route: RouteKey, key: PodKey, name: str) -> None:
        """Forgets a pod, which is gone."""
        self._drop(route, key)
        self._statuses.get(route, {}).pop(name, None)

    def forget_route(self, route: RouteKey) -> None:
        """Forgets all pods of a route."""
        for stored in (self._loads, self._reports, self._uids, self._errors, self._statuses):
            stored.pop(route, None)

    def clear(self) -> None:
        """Forgets all pods of all routes."""
        for stored in (self._loads, self._reports, self._uids, self._errors, self._statuses):
            stored.clear()

    def _drop(self, route: RouteKey, key: PodKey) -> None:
        for stored in (self._loads, self._reports, self._uids, self._errors):
            stored.get(route, {}).pop(key, None)
