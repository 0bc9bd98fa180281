"""The closing pods of all workloads, as the last plans state."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType

from statefulroute.domain.closing import Closing
from statefulroute.domain.disruption.features import plans_disruptions
from statefulroute.domain.keys import PodKey, WorkloadKey
from statefulroute.domain.route import Route

_NONE: Mapping[PodKey, Closing] = MappingProxyType({})


class ClosingPods:
    """The closing pods of each workload. A workload without any takes no memory, unless a route plans for it.

    Args:
        is_switched_off: whether no pod closes.
    """

    def __init__(self, *, is_switched_off: bool = False) -> None:
        self._is_switched_off = is_switched_off
        self._closing: dict[WorkloadKey, Mapping[PodKey, Closing]] = {}

    def of(self, workload: WorkloadKey) -> Mapping[PodKey, Closing]:
        """Returns the closing pods of a workload."""
        return self._closing.get(workload, _NONE)

    def put(self, workload: WorkloadKey, closing: Mapping[PodKey, Closing]) -> bool:
        """Stores the closing pods of a workload; returns whether they have changed."""
        has_changed = self.of(workload) != closing
        self._closing[workload] = closing or _NONE
        return has_changed

    def forget(self, workload: WorkloadKey) -> None:
        """Drops a workload for which no route plans any more."""
        self._closing.pop(workload, None)

    def clear(self) -> None:
        """Drops all workloads."""
        self._closing.clear()

    def restore(self, workload: WorkloadKey, routes: Iterable[Route], now: datetime) -> Mapping[PodKey, Closing]:
        """Returns the closing pods of a workload: if there was no plan yet, those by the status of the planning route.

        Args:
            workload: the workload.
            routes: all routes to it, by name.
            now: the current time.
        """
        if workload not in self._closing and not self._is_switched_off:
            planners = (route for route in routes if plans_disruptions(route.spec) and not route.is_deleting)
            if (planner := next(planners, None)) is not None:
                self._closing[workload] = _stored_closing(planner, now)
        return self.of(workload)


def _stored_closing(route: Route, now: datetime) -> Mapping[PodKey, Closing]:
    """Returns the closing pods that the status of a route shows, unless it is that of another workload."""
    if route.with_observed_workload() is not None:
        return _NONE
    return {
        pod.name if pod.index is None else pod.index: Closing(
            pod.closing.reason, pod.closing.since, pod.closing.deadline, is_over=now >= pod.closing.deadline
        )
        for pod in route.status.pods
        if pod.closing is not None
    }
