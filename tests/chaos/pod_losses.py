"""When pods were gone, by the record: what may take a link from its pod."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from chaos.record import Node, Pod, Record, Route, Workload

#: An operator that was frozen, or whose watch was, may act on what was true a while ago.
STALE_SECONDS = 30.0

#: Between a change and its place in the record.
LAG_SECONDS = 1.0

_FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Interval:
    """From one time to another."""

    started: float
    ended: float


class PodLosses:
    """Answers whether a pod was lost.

    Args:
        record: has the pods, nodes and workloads.
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

    def may_lose_links(self, service: str, pod: int, at: float) -> bool:
        """Whether links could be taken from a pod at a time: it was gone for the grace, or is not to come back."""
        if self._is_beyond(service, pod, at):
            return True
        grace = self._routes[service].grace_seconds if service in self._routes else 0.0
        return any(
            gone.started <= at
            and gone.ended >= at - STALE_SECONDS
            and min(gone.ended, at) - gone.started >= grace - LAG_SECONDS
            for gone in self.absences(f"{service}-{pod}")
        )

    def absences(self, pod: str) -> Sequence[Interval]:
        """When a pod was gone: absent, ending, or on a node that is not there or not ready.

        It cannot be lost before it was there for the first time.
        """
        if pod not in self._absences:
            self._absences[pod] = self._find_absences(pod)
        return self._absences[pod]

    def _is_beyond(self, service: str, pod: int, at: float) -> bool:
        """Whether the workload was not to have the pod a short while before."""
        asked = self._workloads.get(service, [])
        ends = [each.at for each in asked[1:]] + [_FOREVER]
        return any(
            each.replicas <= pod and each.at <= at and end >= at - STALE_SECONDS
            for each, end in zip(asked, ends, strict=True)
        )

    def _find_absences(self, pod: str) -> list[Interval]:
        states = self._pods.get(pod, [])
        moments = {each.at for each in states}
        moments |= {node.at for each in states for node in self._nodes.get(each.node, ())}
        intervals: list[Interval] = []
        for begun, ended in pairwise([*sorted(moments), _FOREVER]):
            if begun < states[0].at or not self._is_absent(states, begun):
                continue
            if intervals and intervals[-1].ended == begun:
                intervals[-1] = Interval(intervals[-1].started, ended)
            else:
                intervals.append(Interval(begun, ended))
        return intervals

    def _is_absent(self, states: Sequence[Pod], at: float) -> bool:
        number = bisect_right(states, at, key=lambda each: each.at)
        if states[number - 1].state in {"absent", "ending"}:
            return True
        known = self._nodes.get(states[number - 1].node, [])
        told = bisect_right(known, at, key=lambda each: each.at)
        return bool(told) and not known[told - 1].is_ready
