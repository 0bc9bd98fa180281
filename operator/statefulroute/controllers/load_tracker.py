"""Load tracking: the last load of each pod of each route, and why it could not be read."""

from collections.abc import Callable, Container, Iterable, Mapping

from statefulroute.api.route_status import PodStatus
from statefulroute.api.vocabulary import LoadSource, RoutingState
from statefulroute.cluster.clock import Clock
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.load import Load, LoadReport, UnreadableReport
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import Route
from statefulroute.domain.route_status import count_links_at_report

_NO_ERRORS: Mapping[PodKey, str] = {}


class _RouteLoads:
    """The loads of the pods of one route. Most routes have few pods, none of which fails or has yet to report.

    Attributes:
        loads: the last load of each pod.
        reports: the uid of each pod with a load or an error, and its last report as the pod made it; None without one.
        errors: why loads could not be read.
        statuses: by pod name, the status of the pods that have not reported to this process.
    """

    __slots__ = ("errors", "loads", "reports", "statuses")

    def __init__(self) -> None:
        self.loads: dict[PodKey, Load] = {}
        self.reports: dict[PodKey, tuple[str, LoadReport | None]] = {}
        self.errors: dict[PodKey, str] | None = None
        self.statuses: dict[str, PodStatus] | None = None

    def store(self, key: PodKey, uid: str, report: LoadReport, load: Load) -> None:
        """Stores the load of a pod."""
        self.loads[key], self.reports[key] = load, (uid, report)

    def take_status(self, name: str) -> PodStatus | None:
        """Removes the status of a pod that has reported now, and returns it."""
        return None if self.statuses is None else self.statuses.pop(name, None)

    def drop(self, key: PodKey) -> None:
        """Forgets a pod."""
        self.loads.pop(key, None)
        self.reports.pop(key, None)
        if self.errors is not None:
            self.errors.pop(key, None)


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
        self._routes: dict[RouteKey, _RouteLoads] = {}

    def loads_of(self, route: RouteKey) -> Mapping[PodKey, Load]:
        """Returns the loads of a route's pods, as a live view. A pod that has never reported is absent."""
        return self._of(route).loads

    def errors_of(self, route: RouteKey) -> Mapping[PodKey, str]:
        """Returns why the loads of a route's pods could not be read. Request it again after each change.

        A message is the end of a sentence that starts with the pod.
        """
        return self._of(route).errors or _NO_ERRORS

    def restore(self, route: RouteKey, statuses: Iterable[PodStatus]) -> None:
        """Stores the status of a route's pods, from which the first report of each pod is completed."""
        # A status without a load completes no report.
        reported = {status.name: status for status in statuses if status.load_state is not None}
        self._of(route).statuses = reported or None

    def needs_statuses(self, route: RouteKey) -> bool:
        """Returns whether a status is stored of a pod that has not reported to this process."""
        return bool(self._of(route).statuses)

    def restore_stale(self, route: RouteKey, key: PodKey, pod: Pod) -> None:
        """Stores the stale load that the status of a route has for a pod which has not reported to this process.

        A pod that does not answer polls is thus still known to have stopped to after the operator has restarted.
        """
        known = self._of(route)
        status = None if known.statuses is None else known.statuses.get(pod.name)
        if key in known.loads or status is None or not status.load_stale:
            return
        if status.load_state is None or status.report_time is None:
            return
        # A status may be restored, or written by somebody else: its time is never later than now.
        time = min(status.report_time, self._clock())
        report = LoadReport(status.load_state, status.waiting_tasks or 0, time)
        known.store(key, pod.uid, report, Load(report, count_links_at_report(status, report, 0)))

    def observe(self, route: Route, key: PodKey, pod: Pod, report: LoadReport, routing_state: RoutingState) -> bool:
        """Stores the load of a pod unless it is the known one.

        The present report counts whatever its time is: a pod may report twice in a second, and its clock may be set
        back.

        Returns:
            Whether it may change a decision now. A new figure of a pod whose load is fresh does not: it counts in the
            next decision.
        """
        now, known = self._clock(), self._of(route.key)
        previous, had_error = known.loads.get(key), self.clear_error(route.key, key)
        if previous is not None and known.reports[key][1] == report:
            return had_error
        # The clock of a pod may be ahead: its report is never later than now.
        counted = report if report.time <= now else LoadReport(report.load_state, report.waiting_tasks, now)
        links = self._count_links(route.key, key)
        status = known.take_status(pod.name) if previous is None else None
        load = Load(counted, count_links_at_report(status, report, links), routing_state)
        known.store(key, pod.uid, report, load)
        if previous is None or had_error or previous.routing_state is not routing_state:
            return True
        was_fresh = previous.is_fresh(route.spec.load.stale_after_seconds, now)
        return not was_fresh or counted.time < previous.report.time  # an earlier time becomes stale sooner

    def observe_error(self, route: RouteKey, key: PodKey, pod: Pod, message: str) -> bool:
        """Stores why the load of a pod could not be read; returns whether the message is a new one.

        The last load of the pod counts until it is stale.
        """
        known = self._of(route)
        if known.errors is None:
            known.errors = {}
        if known.errors.get(key) == message:
            return False
        known.errors[key] = message
        known.reports[key] = pod.uid, known.reports.get(key, (pod.uid, None))[1]
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
        known = self._routes.get(route)
        return known is not None and known.errors is not None and known.errors.pop(key, None) is not None

    def retain(self, route: RouteKey, uids: Mapping[PodKey, str]) -> None:
        """Forgets the loads of all pods of a route but these, which are given with their uids."""
        known = self._of(route)
        for key, (uid, _) in tuple(known.reports.items()):
            if uids.get(key) != uid:
                known.drop(key)

    def forget(self, route: RouteKey, key: PodKey, name: str) -> None:
        """Forgets a pod, which is gone."""
        known = self._of(route)
        known.drop(key)
        known.take_status(name)

    def forget_route(self, route: RouteKey) -> None:
        """Forgets all pods of a route."""
        self._routes.pop(route, None)

    def retain_routes(self, routes: Container[RouteKey]) -> None:
        """Forgets all pods of all routes but these."""
        self._routes = {key: known for key, known in self._routes.items() if key in routes}

    def _of(self, route: RouteKey) -> _RouteLoads:
        """Returns what is known of a route."""
        known = self._routes.get(route)
        if known is None:
            known = self._routes[route] = _RouteLoads()
        return known
