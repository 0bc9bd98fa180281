"""The loads of all pods, as they were last heard of."""

from collections.abc import Mapping

from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.load import Load, LoadReport


class LoadTracker:
    """The load of each pod by route and pod, and why one could not be read at last; both are live views.

    Pods are told apart by their `metadata.uid` too: another pod may have the same index or name.
    """

    def __init__(self) -> None:
        self._loads: dict[RouteKey, dict[PodKey, Load]] = {}
        self._errors: dict[RouteKey, dict[PodKey, str]] = {}
        self._uids: dict[RouteKey, dict[PodKey, str]] = {}
        self._reports: dict[RouteKey, dict[PodKey, LoadReport]] = {}
        """The last report of each pod, as it stood there."""

    def loads_of(self, route: RouteKey) -> Mapping[PodKey, Load]:
        """The loads of a route's pods; one that was never heard of is absent."""
        return self._loads.setdefault(route, {})

    def errors_of(self, route: RouteKey) -> Mapping[PodKey, str]:
        """Why the load of a route's pod could not be read at last: the end of a sentence that begins with the pod."""
        return self._errors.setdefault(route, {})

    def is_newer(self, route: RouteKey, pod: PodKey, report: LoadReport) -> bool:
        """Whether a report is a later one than the last, and not the same once more."""
        before = self._loads.get(route, {}).get(pod)
        return before is None or (before.report.time < report.time and self._reports[route][pod] != report)

    def record(self, route: RouteKey, pod: PodKey, uid: str, report: LoadReport, load: Load) -> None:
        """A pod has told its load."""
        self._loads.setdefault(route, {})[pod] = load
        self._reports.setdefault(route, {})[pod] = report
        self._uids.setdefault(route, {})[pod] = uid
        self._errors.get(route, {}).pop(pod, None)

    def record_error(self, route: RouteKey, pod: PodKey, uid: str, message: str) -> None:
        """A pod's load could not be read; what it told before stands until it is stale."""
        self._errors.setdefault(route, {})[pod] = message
        self._uids.setdefault(route, {})[pod] = uid

    def clear_error(self, route: RouteKey, pod: PodKey) -> bool:
        """Nothing is wrong with what a pod says; gives whether something was."""
        return self._errors.get(route, {}).pop(pod, None) is not None

    def retain(self, route: RouteKey, uids: Mapping[PodKey, str]) -> None:
        """Forget what was heard of any other pods than these."""
        for pod, uid in tuple(self._uids.get(route, {}).items()):
            if uids.get(pod) != uid:
                self.forget(route, pod)

    def forget(self, route: RouteKey, pod: PodKey) -> None:
        """The pod is gone; another of its name tells its own load."""
        for kept in (self._loads, self._reports, self._uids, self._errors):
            kept.get(route, {}).pop(pod, None)

    def forget_route(self, route: RouteKey) -> None:
        """Whatever was heard of a route's pods counts no more."""
        for kept in (self._loads, self._reports, self._uids, self._errors):
            kept.pop(route, None)
