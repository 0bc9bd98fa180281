"""What the status of a route shows of its slots."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from statefulroute.api.vocabulary import ConditionType, RebalanceStrategy, RouteReason
from statefulroute.domain.conditions import ConditionState
from statefulroute.domain.route import RouteView
from statefulroute.domain.slots.moves import is_balanced_by_moves
from statefulroute.domain.slots.placement import pods_for_slots
from statefulroute.domain.slots.spread import balance_slots


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """What is known of the slots of a route, besides how many each pod has.

    Attributes:
        bound: how many are bound to a pod.
        refusal: why the API server refuses to create their links; empty if it does not.
    """

    bound: int = 0
    refusal: str = ""


def slot_conditions(view: RouteView, facts: SlotFacts, now: datetime) -> Mapping[ConditionType, ConditionState]:
    """Returns the conditions of a route with slots; none if it has no slots."""
    slots = view.route.spec.slots
    if slots is None:
        return {}
    return {
        ConditionType.SLOTS_BOUND: _bound(slots, facts),
        ConditionType.SLOTS_BALANCED: _balanced(view, now),
    }


def _bound(slots: int, facts: SlotFacts) -> ConditionState:
    """SlotsBound: each slot is bound to a pod."""
    if facts.bound >= slots:
        all_slots = "the only slot is bound" if slots == 1 else f"all {slots} slots are bound"
        return True, RouteReason.SLOTS_BOUND, all_slots
    bound = f"{facts.bound} of {slots} {'slot is' if slots == 1 else 'slots are'} bound"
    if facts.refusal:
        return False, RouteReason.SLOTS_REFUSED, f"{bound}; links of the others are not created: {facts.refusal}"
    return False, RouteReason.SLOTS_UNBOUND, f"{bound}: the others wait for a pod that takes new users, or their turn"


def _balanced(view: RouteView, now: datetime) -> ConditionState:
    """SlotsBalanced: the number of slots of each pod that takes slots differs from the mean by at most one."""
    pods = [pod.key for pod in pods_for_slots(view, now)]
    counts = [view.slot_counts.get(pod, 0) for pod in pods]
    if not counts:
        return True, RouteReason.SLOTS_BALANCED, "no pod takes slots"
    span = f"from {min(counts)} to {max(counts)}" if max(counts) > min(counts) else f"{max(counts)}"
    has = "the pod that takes slots has" if len(counts) == 1 else f"each of {len(counts)} pods that take slots has"
    if next(balance_slots(pods, view.slot_counts), None) is None:
        return True, RouteReason.SLOTS_BALANCED, f"{has} {span}"
    rebalance = view.route.spec.rebalance
    if rebalance is not None and rebalance.strategy is RebalanceStrategy.EVEN:
        moves = "slots are moved to balance the pods"
        if not is_balanced_by_moves(view):
            moves = "they stay while a pod is closing, or has slots and does not take new users"
        return False, RouteReason.REBALANCING, f"{has} {span}: {moves}"
    return False, RouteReason.SLOTS_UNEVEN, f"{has} {span}: they stay, because spec.rebalance.strategy is not Even"
