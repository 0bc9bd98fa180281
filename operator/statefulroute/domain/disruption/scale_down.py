"""Scaling: pods close before they are removed, and are opened again if the workload is scaled up in the meantime."""

from collections.abc import Mapping
from itertools import takewhile

from statefulroute.api.limits import CLOSING_PODS_MAX
from statefulroute.api.vocabulary import ClosingReason, RouteReason
from statefulroute.domain.closing import Closing
from statefulroute.domain.conditions import ConditionState
from statefulroute.domain.disruption.closing_pods import describe_occupied, may_remove, occupied
from statefulroute.domain.disruption.facts import DisruptionFacts, PodFacts
from statefulroute.domain.keys import PodKey, pod_sort_key

_ROUTE_CONTESTED = (
    "something else sets spec.replicas of the route again and again after the operator, for example a "
    "HorizontalPodAutoscaler: remove it, or spec.autoscaling"
)
_WORKLOAD_CONTESTED = (
    "something else sets the number of pods of the {} again and again after the operator, for example a "
    "HorizontalPodAutoscaler: let it scale StatefulRoute {!r} instead"
)


def surplus_pods(facts: DisruptionFacts, target: int) -> list[PodKey]:
    """Returns the pods that close because the workload is scaled down, in the order in which they are removed.

    A StatefulSet removes the pods with the highest indexes. Of other workloads whose pods the operator ranks, those
    with the fewest links close, but first those that are not ready, because a ReplicaSet removes these first. A pod
    that is closing already goes on closing. Pods of all other workloads do not close.

    Args:
        facts: the facts.
        target: the number of pods that remain.
    """
    if facts.workload.first_index is not None:
        surplus = _surplus_indexes(facts, facts.workload.first_index, target)
        return [*surplus[:CLOSING_PODS_MAX]]
    if not facts.can_rank_pods:
        return []
    pods = _active_pods(facts)
    number = max(min(facts.workload.replicas, len(pods)) - target, 0) + _leaving_pods(facts, pods)
    return [pod.key for pod in sorted(pods, key=_closing_rank)[: min(number, CLOSING_PODS_MAX)]]


def _surplus_indexes(facts: DisruptionFacts, first: int, target: int) -> range:
    """Returns the indexes beyond a number of pods, the highest first, from the highest that a pod or a link has."""
    highest = max((key for key in facts.pods if isinstance(key, int)), default=first)
    return range(min(first + facts.workload.replicas - 1, highest), first + target - 1, -1)


def _active_pods(facts: DisruptionFacts) -> list[PodFacts]:
    """Returns the pods that a ReplicaSet counts."""
    return [pod for pod in facts.pods.values() if pod.exists and not pod.is_ending]


def _leaving_pods(facts: DisruptionFacts, pods: list[PodFacts]) -> int:
    """Returns how many closing pods the workload's controller may be about to remove: it deletes them a little later.

    They go on closing, so that no user comes in between, and the next pods are not taken for the ones that it removes.
    """
    closing = {pod.key: pod.closing for pod in pods if pod.closing and pod.closing.reason is ClosingReason.SCALE_DOWN}
    removable = sum(may_remove(facts, key, closing) for key in closing)
    return min(removable, max(0, len(pods) - facts.workload.replicas))


def _closing_rank(pod: PodFacts) -> tuple[object, ...]:
    return pod.is_ready, pod.closing is None, pod.links, pod_sort_key(pod.key)


def next_replicas(facts: DisruptionFacts, target: int, closing: Mapping[PodKey, Closing]) -> int:
    """Returns the number of pods that the workload may have now, by the pods that may be removed.

    Args:
        facts: the facts.
        target: the number of pods that remain at last.
        closing: the closing pods.
    """
    replicas = facts.workload.replicas
    if target >= replicas:
        return target
    if (first := facts.workload.first_index) is not None:
        surplus = _surplus_indexes(facts, first, target)
        removed = sum(1 for _ in takewhile(lambda key: may_remove(facts, key, closing), surplus))
        return target + len(surplus) - removed
    if not facts.can_rank_pods:
        return target
    pods = _active_pods(facts)
    return max(target, min(replicas, len(pods) - _removed_first(facts, pods, closing)))


def _removed_first(facts: DisruptionFacts, pods: list[PodFacts], closing: Mapping[PodKey, Closing]) -> int:
    """Returns how many pods the workload's controller would remove first, all of which may be removed.

    It removes pods that are not ready first, then those with the lowest stored deletion cost. The order of pods with
    the same cost is not known, so either all of them may be removed or none.
    """
    removable = {pod.key for pod in pods if may_remove(facts, pod.key, closing)}
    number = 0
    groups: dict[tuple[bool, int], list[PodFacts]] = {}
    for pod in pods:
        groups.setdefault((pod.is_ready, pod.deletion_cost if pod.is_ready else 0), []).append(pod)
    for _, group in sorted(groups.items()):
        if any(pod.key not in removable for pod in group):
            break
        number += len(group)
    return number


def scaled_condition(facts: DisruptionFacts, target: int, closing: Mapping[PodKey, Closing]) -> ConditionState:
    """Scaled: the workload has as many pods as desired."""
    replicas, kind = facts.workload.replicas, facts.spec.workload_ref.kind
    if (problem := _scaling_problem(facts, target)) is not None:
        return problem
    if replicas == target:
        return True, RouteReason.SCALED, f"the {kind} has {_number(target)} as desired"
    if replicas < target:
        return False, RouteReason.SCALING, f"the {kind} is scaled up from {replicas} to {_number(target)}"
    start = f"the {kind} is scaled down from {replicas} to {_number(target)}"
    waiting = occupied(facts, surplus_pods(facts, target))
    if not waiting:
        return False, RouteReason.SCALING, start
    users = describe_occupied(waiting, closing)
    return False, RouteReason.WAITING_FOR_USERS, f"{start}, and waits for the users of {users}"


def _number(pods: int) -> str:
    return f"{pods} pod{'' if pods == 1 else 's'}"


def _scaling_problem(facts: DisruptionFacts, target: int) -> ConditionState | None:
    """Returns why the workload cannot be scaled, or does not stay so; None if nothing prevents it."""
    kind = facts.spec.workload_ref.kind
    is_scaled = facts.workload.replicas == target and facts.spec.replicas == facts.desired_replicas
    if facts.scale_refusal is not None and not is_scaled:
        message = f"the {kind} was not scaled to {_number(target)}: {facts.scale_refusal}"
        return False, RouteReason.SCALE_REFUSED, message
    if facts.is_route_contested:
        return False, RouteReason.ANOTHER_SCALER, _ROUTE_CONTESTED
    if facts.is_workload_contested:
        return False, RouteReason.ANOTHER_SCALER, _WORKLOAD_CONTESTED.format(kind, facts.route_name)
    return None
