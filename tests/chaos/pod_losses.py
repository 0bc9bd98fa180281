"""Finds the times when pods were lost, which may take links from them, from the record."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from chaos.record import Node, Pod, Record, Route, Workload

#: An operator that was suspended, or whose watch was, may act on a state that is this old.
STALE_SECONDS = 30.0

#: The maximum delay between a change and its row.
LAG_SECONDS = 1.0

_FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval between two times."""

    started: float
    ended: float


def _has_lasted(intervals: Sequence[Interval], seconds: float, at: float) -> bool:
    """Returns whether an interval had lasted for this time at a time, or shortly before."""
    return any(
        each.started <= at
        and each.ended >= at - STALE_SECONDS
        and min(each.ended, at) - each.started >= seconds - LAG_SECONDS
        for each in intervals
    )


class PodLosses:
    """Decides whether a pod was lost.

    Args:
        record: the rows of pods, nodes and workloads.
    """

    def __init__(self, record: Record) -> None:
        self._pods: dict[str, list[Pod]] = defaultdict(list)
        for pod in record.all(Pod):
            self._pods[pod.name].append(pod)
        self._nodes: dict[str, list[Node]] = defaultdict(list)
        for node in record.all(Node):
            self._nodes[node.name].append(node)
        self._workloads: dict[str, list[Workload]] = defaultdict(list)
        for workload in record.all(Workload):
            self._workloads[workload.name].append(workload)
        self._routes = {route.name: route for route in record.all(Route)}
        self._absences: dict[str, list[Interval]] = {}
        self._unready: dict[str, list[Interval]] = {}

    def may_lose_links(self, service: str, pod: int, at: float) -> bool:
        """Returns whether links could leave a pod at a time.

        It was absent for the grace period, it was not ready for too long, or it cannot return.
        """
        if self._is_beyond(service, pod, at):
            return True
        route, name = self._routes.get(service), f"{service}-{pod}"
        if _has_lasted(self.absences(name), 0.0 if route is None else route.grace_seconds, at):
            return True
        return route is not None and _has_lasted(self._unready_intervals(name), route.not_ready_seconds, at)

    def was_absent(self, service: str, pod: int, at: float) -> bool:
        """Returns whether a pod was absent at a time, or shortly before."""
        return _has_lasted(self.absences(f"{service}-{pod}"), 0.0, at)

    def was_unready(self, service: str, pod: int, at: float) -> bool:
        """Returns whether a pod was not ready, absent or beyond the replicas at a time, or shortly before."""
        return self._is_beyond(service, pod, at) or _has_lasted(self._unready_intervals(f"{service}-{pod}"), 0.0, at)

    def absences(self, pod: str) -> Sequence[Interval]:
        """Returns the intervals when a pod was absent, terminating, or on a node that is absent or not ready.

        A pod cannot be lost before it exists.
        """
        if pod not in self._absences:
            self._absences[pod] = self._find(pod, self._is_absent)
        return self._absences[pod]

    def _unready_intervals(self, pod: str) -> Sequence[Interval]:
        """Returns the intervals when a pod was absent, or existed and was not ready."""
        if pod not in self._unready:
            self._unready[pod] = self._find(pod, self._is_unready)
        return self._unready[pod]

    def times_without_a_ready_node(self) -> Sequence[Interval]:
        """Returns the intervals when every node was not ready."""
        nodes = sorted((node for states in self._nodes.values() for node in states), key=lambda each: each.at)
        intervals, ready, started = list[Interval](), dict[str, bool](), None
        for node in nodes:
            ready[node.name] = node.is_ready
            if not any(ready.values()):
                started = node.at if started is None else started
            elif started is not None:
                intervals.append(Interval(started, node.at))
                started = None
        return intervals if started is None else [*intervals, Interval(started, _FOREVER)]

    def _is_beyond(self, service: str, pod: int, at: float) -> bool:
        """Returns whether the pod was beyond the workload's replicas, now or shortly before."""
        workloads = self._workloads.get(service, [])
        ends = [each.at for each in workloads[1:]] + [_FOREVER]
        return any(
            each.replicas <= pod and each.at <= at and end >= at - STALE_SECONDS
            for each, end in zip(workloads, ends, strict=True)
        )

    def _find(self, pod: str, holds: Callable[[Sequence[Pod], float], bool]) -> list[Interval]:
        """Returns the intervals when a condition on the states of a pod held."""
        states = self._pods.get(pod, [])
        moments = {each.at for each in states}
        moments |= {node.at for each in states for node in self._nodes.get(each.node, ())}
        intervals: list[Interval] = []
        for started, ended in pairwise([*sorted(moments), _FOREVER]):
            if started < states[0].at or not holds(states, started):
                continue
            if intervals and intervals[-1].ended == started:
                intervals[-1] = Interval(intervals[-1].started, ended)
            else:
                intervals.append(Interval(started, ended))
        return intervals

    def _is_unready(self, states: Sequence[Pod], at: float) -> bool:
        number = bisect_right(states, at, key=lambda each: each.at)
        return states[number - 1].state != "ready" or self._is_absent(states, at)

    def _is_absent(self, states: Sequence[Pod], at: float) -> bool:
        number = bisect_right(states, at, key=lambda each: each.at)
        if states[number - 1].state in {"absent", "ending"}:
            return True
        nodes = self._nodes.get(states[number - 1].node, [])
        count = bisect_right(nodes, at, key=lambda each: each.at)
        return bool(count) and not nodes[count - 1].is_ready
