"""The plan of planned disruptions: which pods close, what is removed, and what the status shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from statefulroute.api.limits import CLOSING_PODS_MAX
from statefulroute.api.vocabulary import ClosingReason, ConditionType
from statefulroute.domain.closing import Closing
from statefulroute.domain.conditions import ConditionState
from statefulroute.domain.disruption.closing_pods import close_pods, next_check
from statefulroute.domain.disruption.facts import DisruptionFacts
from statefulroute.domain.disruption.node_drain import drained_pods
from statefulroute.domain.disruption.rollout import outdated_pods, pods_to_evict, rolled_out_condition, surge
from statefulroute.domain.disruption.scale_down import next_replicas, scaled_condition, surplus_pods
from statefulroute.domain.keys import PodKey


@dataclass(frozen=True, slots=True)
class SetReplicas:
    """Sets the number of pods of the workload."""

    replicas: int


@dataclass(frozen=True, slots=True)
class SetRouteReplicas:
    """Sets `spec.replicas` of the route."""

    replicas: int


@dataclass(frozen=True, slots=True)
class EvictPod:
    """Evicts a pod, which comes back in the latest revision."""

    key: PodKey
    name: str
    uid: str


Action = SetReplicas | SetRouteReplicas | EvictPod


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows from the facts.

    Attributes:
        closing: all closing pods; a pod that is not among them is open.
        actions: what to do now, in any order. Each is safe by the facts alone.
        conditions: the conditions of planned disruptions that the route has.
        desired_replicas: the number of pods that the workload will have; None if the route does not scale it.
        next_check: when the plan may change without any change of the facts but the time; None if it does not.
    """

    closing: Mapping[PodKey, Closing]
    actions: Sequence[Action]
    conditions: Mapping[ConditionType, ConditionState]
    desired_replicas: int | None = None
    next_check: datetime | None = None


def plan_disruptions(facts: DisruptionFacts) -> Plan:
    """Returns the plan for a workload.

    Nothing is remembered but what the facts contain, so a plan is the same after a restart of the operator.
    """
    target, rollout = facts.desired_replicas, facts.spec.rollout
    desired = facts.workload.replicas if target is None else target
    closing = close_pods(facts, _reasons(facts, target, desired))
    actions, conditions = list[Action](), dict[ConditionType, ConditionState]()
    if target is not None:
        total = target + surge(facts, target)
        conditions[ConditionType.SCALED] = scaled_condition(facts, total, closing)
        if target != facts.spec.replicas:
            actions.append(SetRouteReplicas(target))
        if (replicas := next_replicas(facts, total, closing)) != facts.workload.replicas:
            actions.append(SetReplicas(replicas))
    actions += [EvictPod(pod.key, pod.name, pod.uid) for pod in pods_to_evict(facts, closing)]
    if rollout is not None:
        conditions[ConditionType.ROLLED_OUT] = rolled_out_condition(facts, rollout, desired, closing)
    times = (next_check(facts, closing), _next_recommendation(facts))
    first = min((time for time in times if time is not None), default=None)
    return Plan(closing, actions, conditions, target, first)


def _reasons(facts: DisruptionFacts, target: int | None, desired: int) -> Mapping[PodKey, ClosingReason]:
    """Returns why pods close: not more of them than the status of a route can show."""
    surplus = [] if target is None else surplus_pods(facts, target + surge(facts, target))
    reasons = dict.fromkeys(surplus, ClosingReason.SCALE_DOWN)
    drained = [key for key in drained_pods(facts) if key not in reasons]
    reasons |= dict.fromkeys(drained[: CLOSING_PODS_MAX - len(reasons)], ClosingReason.NODE_DRAIN)
    outdated = outdated_pods(facts, desired, reasons)
    return reasons | dict.fromkeys(outdated[: CLOSING_PODS_MAX - len(reasons)], ClosingReason.ROLLOUT)


def _next_recommendation(facts: DisruptionFacts) -> datetime | None:
    """Returns when autoscaling recommends fewer pods if the demand does not change."""
    if facts.recommendation is None or facts.recommendation.changes_in is None:
        return None
    return facts.now + timedelta(seconds=facts.recommendation.changes_in)
