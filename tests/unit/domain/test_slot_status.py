"""The conditions of routes with slots, and the plans for single slots."""

from dataclasses import replace
from typing import Any

import pytest

from statefulroute.api.vocabulary import (
    ConditionType,
    LinkPhase,
    LinkReason,
    MoveReason,
    RemoveReason,
    RoutingState,
    ServiceState,
)
from statefulroute.domain.decision import LinkView, Plan, Remove, UpdateStatus, decide
from statefulroute.domain.hand_over import StartHandOver
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link, LinkStatus
from statefulroute.domain.route import RouteView
from statefulroute.domain.slots.moves import MoveSlot
from statefulroute.domain.slots.status import SlotFacts, slot_conditions
from unit.domain.builders import NOON, link, pod, route, view

EVEN: dict[str, Any] = {"rebalance": {}}
DRAINED = RoutingState.DENY_NEW_CALL


def slotted(counts: dict[PodKey, int], *states: RoutingState, **spec: Any) -> RouteView:
    """Returns a route with 8 slots, and a ready pod for each reported routing state, by default two."""
    pods = [pod(index, ServiceState.READY, state) for index, state in enumerate(states or [RoutingState.UNKNOWN] * 2)]
    return replace(view(*pods, route=route(**{"slots": 8, **spec})), slot_counts=counts)


def slot(number: int, on: PodKey | None = None, **fields: Any) -> Link:
    """Returns the link of a slot that is bound to a pod."""
    status = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "", pod_index=on) if isinstance(on, int) else None
    return link(on, name=f"game.x-slot-{number}", status=status, **fields)


def plan(of: Link, route_view: RouteView, target: PodKey | None = None) -> Plan:
    return decide(LinkView(of, route_view, NOON, slot_target=target))


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (SlotFacts(8), (True, "SlotsBound", "all 8 slots are bound")),
        (
            SlotFacts(7),
            (
                False,
                "SlotsUnbound",
                "7 of 8 slots are bound: the others wait for a pod that takes new users, or their turn",
            ),
        ),
        (
            SlotFacts(0, "forbidden"),
            (False, "SlotsRefused", "0 of 8 slots are bound; links of the others are not created: forbidden"),
        ),
    ],
)
def test_condition_states_how_many_slots_are_bound(facts: SlotFacts, state: tuple[bool, str, str]) -> None:
    assert slot_conditions(slotted({}), facts, NOON)[ConditionType.SLOTS_BOUND] == state


@pytest.mark.parametrize(
    ("counts", "spec", "state"),
    [
        ({0: 4, 1: 4}, {}, (True, "SlotsBalanced", "each of 2 pods that take slots has 4")),
        ({0: 5, 1: 3}, EVEN, (True, "SlotsBalanced", "each of 2 pods that take slots has from 3 to 5")),
        (
            {0: 8},
            EVEN,
            (
                False,
                "Rebalancing",
                "each of 2 pods that take slots has from 0 to 8: slots are moved to balance the pods",
            ),
        ),
        (
            {0: 7, 5: 1},  # pod 5 does not exist
            EVEN,
            (
                False,
                "Rebalancing",
                (
                    "each of 2 pods that take slots has from 0 to 7: they stay while a pod is closing, or has slots "
                    "and does not take new users"
                ),
            ),
        ),
        (
            {0: 8},
            {},
            (
                False,
                "SlotsUneven",
                (
                    "each of 2 pods that take slots has from 0 to 8: they stay, because spec.rebalance.strategy is not "
                    "Even"
                ),
            ),
        ),
    ],
)
def test_condition_states_whether_the_pods_have_equally_many_slots(
    counts: dict[PodKey, int], spec: dict[str, Any], state: tuple[bool, str, str]
) -> None:
    assert slot_conditions(slotted(counts, **spec), SlotFacts(8), NOON)[ConditionType.SLOTS_BALANCED] == state


def test_route_without_slots_has_no_such_condition() -> None:
    assert not slot_conditions(slotted({}, slots=None), SlotFacts(), NOON)


def test_slot_is_bound_to_the_pod_with_the_fewest_slots() -> None:
    assert plan(slot(0), slotted({0: 3, 1: 2})) != plan(slot(0), slotted({0: 2, 1: 3}))


def test_slot_that_the_route_does_not_have_is_removed_and_rejected_if_the_route_has_none() -> None:
    assert plan(slot(8, on=0), slotted({})) == Remove(RemoveReason.NO_SUCH_SLOT)
    rejected = plan(slot(0, on=0), slotted({}, slots=None))
    assert isinstance(rejected, UpdateStatus)
    assert (rejected.status.phase, rejected.status.reason) == (LinkPhase.REJECTED, LinkReason.NO_SUCH_SLOT)


def test_slot_leaves_a_drained_pod_and_a_user_does_not() -> None:
    drained = slotted({0: 4, 1: 4}, DRAINED, RoutingState.READY)
    assert plan(slot(0, on=0), drained) == MoveSlot(1, MoveReason.DRAINED)
    assert isinstance(plan(link(0, status=slot(0, on=0).status), drained), UpdateStatus)
    handing_over = plan(slot(0, on=0), slotted({0: 4, 1: 4}, DRAINED, RoutingState.READY, hand_over={}))
    assert isinstance(handing_over, StartHandOver)
    assert handing_over.hand_over.pod == 1


def test_slot_stays_while_no_other_pod_takes_it() -> None:
    assert isinstance(plan(slot(0, on=0), slotted({0: 4, 1: 4}, DRAINED, DRAINED)), UpdateStatus)


def test_slot_moves_to_balance_the_pods_only_while_the_target_takes_slots() -> None:
    assert plan(slot(0, on=0), slotted({0: 8}), target=1) == MoveSlot(1, MoveReason.REBALANCED)
    assert isinstance(plan(slot(0, on=0), slotted({0: 8}, RoutingState.READY, DRAINED), target=1), UpdateStatus)
    assert isinstance(plan(slot(0, on=0), slotted({0: 8}), target=0), UpdateStatus)
