"""Tests each rule about slots with a record that keeps it and records that violate it."""

from typing import Any

import pytest

from chaos.checker import RULES, check
from chaos.record import Calm, Link, Node, Operation, Pod, QuietPeriod, Record, Route, Row, Workload
from chaos.slot_history import slot_of
from chaos.test_checker import ASKED, ENDED, FRAME, LOST, MOVED, VIOLATIONS

NAMED, MISSING, REASON, EVEN, STILL, ALONE = (
    "every slot has the link of its name",
    "every slot has a link soon after the faults end",
    "a slot that has moved names the reason",
    "the slots are even in the end",
    "no slot moves in the end",
    "no user of a slot gets a link unasked",
)

#: A uid of slot 1.
UID = next(uid for uid in map(str, range(100)) if slot_of(uid, 4) == 1)


def route(at: float, revision: int, **fields: Any) -> Route:
    """Returns a version of the route with slots."""
    return Route(at, revision, "document", "Rebind", 2.0, hand_over_seconds=3.0, slots=4, **fields)


def slot(at: float, revision: int, number: int, pod: int, **fields: Any) -> Link:
    """Returns a version of the link of a slot, which a client has moved there from the other pod."""
    status = {"phase": "Bound", "observed": 1, "status_pod": pod, "generation": 1, "object": f"{number}"}
    common = {
        "key": ("document", f"slot-{number}"),
        "slot": number,
        "owner": "document",
        "pod": pod,
        "previous": (1 - pod, "Moved"),
        **status,
    }
    return Link(at, **{"revision": revision, "name": f"document.x-slot-{number}", **common, **fields})


def user(at: float, revision: int, pod: int | None, **fields: Any) -> Link:
    """Returns a version of a link of a user of slot 1 alone."""
    status = {"phase": "Bound", "observed": 1, "status_pod": pod, "generation": 1, "object": "user"}
    return Link(at, revision, f"document.{UID}", **{"key": ("document", UID), "pod": pod, **status, **fields})


def gone(at: float, revision: int, name: str) -> Link:
    """Returns the deletion of a link."""
    return Link(at, revision, f"document.{name}", is_gone=True)


def operation(name: str, link: str, started: float, **fields: Any) -> Operation:
    """Returns an operation of a client that takes a second."""
    return Operation(started, started + 1, "driver", name, f"document.{link}", **fields)


#: Slots 0 and 1 are on pod 0, and the others on pod 1.
SLOTS: list[Row] = [
    route(1, 1),
    Workload(1, 2, "document", 2),
    Node(1, 5, "node-0", is_ready=True),
    Pod(1, 3, "document-0", "ready", "node-0"),
    Pod(1, 4, "document-1", "ready", "node-0"),
    *(slot(2, 5 + number, number, number // 2) for number in range(4)),
]

#: Pod 0 was lost, and its slots have moved.
LOSS: list[Row] = [
    Pod(110, 12, "document-0", "absent"),
    slot(113, 13, 0, 1),
    slot(113, 14, 1, 1),
    Pod(114, 15, "document-0", "ready", "node-0"),
]

#: A client moves both slots of pod 0, so that pod 1 has all four.
MOVE: list[Row] = [
    operation("move_slot", "x-slot-1", 119, requested_pod=1, answer=1, has_pod=True),
    slot(120, 12, 1, 1),
    operation("move_slot", "x-slot-0", 119, requested_pod=1, answer=1, has_pod=True),
    slot(120, 13, 0, 1),
]

SLOT_VIOLATIONS: dict[str, tuple[str, list[Row]]] = {
    "a slot is beyond those of its route": (
        NAMED,
        [slot(120, 12, 9, 1), operation("remove_slot", "x-slot-9", 120, deleted=(12,)), gone(121, 13, "x-slot-9")],
    ),
    "the route does not own the link of a slot": (NAMED, [slot(120, 12, 1, 0, owner="")]),
    "a slot has moved and names no reason": (REASON, [*MOVE[:1], slot(120, 12, 1, 1, previous=None)]),
    "a slot has moved and names another pod": (REASON, [*MOVE[:1], slot(120, 12, 1, 1, previous=(3, "Moved"))]),
    "a slot moves in the end": (
        STILL,
        [Calm(115, 121), *MOVE[:1], slot(120, 12, 1, 1, previous=(0, "Moved"))],
    ),
    "a slot stays without a link": (
        MISSING,
        [
            operation("remove_slot", "x-slot-1", 119, deleted=(6,)),
            gone(120, 12, "x-slot-1"),
            slot(175, 13, 1, 0),
        ],
    ),
    "a slot loses its link": (ENDED, [gone(120, 12, "x-slot-1"), slot(121, 13, 1, 0)]),
    "the slots stay uneven": (EVEN, MOVE),
    "a slot remains on a pod that does not exist": (
        EVEN,
        [
            operation("move_slot", "x-slot-1", 119, requested_pod=7, answer=7, has_pod=True),
            slot(120, 12, 1, 7, previous=(0, "Moved")),
        ],
    ),
    "a slot leaves a pod that has no more slots than the other": (MOVED, [slot(120, 12, 1, 1), slot(121, 13, 2, 0)]),
    "a slot is handed over for no reason": (
        ASKED,
        [
            slot(120, 12, 1, 0, hand_over=(1, "now"), phase="HandingOver"),
            slot(123, 13, 1, 1),
            operation("move_slot", "x-slot-2", 124, requested_pod=0, answer=0, has_pod=True),
            slot(124, 14, 2, 0),
        ],
    ),
    "a new user of a slot gets a link": (
        ALONE,
        [operation("compute", UID, 119, answer=0, has_pod=True), user(120, 12, 0)],
    ),
    "an answer names a pod that the slot never had": (
        LOST,
        [operation("compute", UID, 120, answer=1, has_pod=True)],
    ),
    "an answer names the pod of the slot, and the user has a link": (
        LOST,
        [
            operation("set", UID, 108, requested_pod=1, answer=1, has_pod=True),
            user(108.5, 12, 1),
            operation("read", UID, 120, answer=0, has_pod=True),
        ],
    ),
    "a user of a slot is on no pod": (LOST, [operation("look_up", UID, 120, has_pod=True)]),
}

NO_SLOT_VIOLATIONS: dict[str, list[Row]] = {
    "a client moves a slot to a pod that is absent": [
        operation("move_slot", "x-slot-1", 119, requested_pod=7, answer=7, has_pod=True),
        slot(120, 12, 1, 7, phase="Pending", status_pod=None, previous=None),
        slot(123, 13, 1, 1, previous=None),
    ],
    "a client moves a slot from a lost pod to a lost pod": [
        operation("move_slot", "x-slot-1", 119, requested_pod=1, answer=1, has_pod=True),
        slot(120, 12, 1, 1, phase="Lost", previous=None),
        slot(123, 13, 1, 1, previous=None),
    ],
    "a user is on no pod while the route is deleted": [
        Route(119, 12, "document"),
        operation("ask", UID, 120, has_pod=True),
        route(125, 13),
    ],
    "a pod beyond the replicas hands its slot over": [
        Workload(119, 11, "document", 1),
        slot(119.2, 12, 2, 1, hand_over=(0, "now"), phase="HandingOver"),
        slot(119.4, 13, 2, 0, previous=(1, "HandedOver")),
        Workload(121, 14, "document", 2),
    ],
    "a user is asked for": [operation("ask", UID, 120, answer=0, has_pod=True)],
    "no slot moves in the end": [*MOVE[:1], slot(120, 12, 1, 1), Calm(130, 190)],
    "nothing happens": [],
    "a new user is on the pod of the slot": [operation("compute", UID, 120, answer=0, has_pod=True)],
    "a user is bound alone": [
        operation("set", UID, 119, requested_pod=1, answer=1, has_pod=True),
        user(120, 12, 1),
        operation("read", UID, 130, answer=1, has_pod=True),
    ],
    "the operator evens the slots out after a client's move": [*MOVE, slot(123, 14, 1, 0)],
    "the slots of a lost pod move, and the pods are balanced": [*LOSS, slot(120, 16, 0, 0), slot(121, 17, 3, 0)],
    "a pod gives its slots away": [
        route(119, 11, denied=(0,)),
        slot(120, 12, 0, 1),
        slot(120, 13, 1, 1),
        route(130, 14),
        slot(131, 15, 0, 0),
        slot(131, 16, 1, 0),
    ],
    "a slot is handed over because of the balance": [
        *MOVE,
        slot(123, 14, 1, 1, hand_over=(0, "now"), phase="HandingOver"),
        slot(126, 15, 1, 0),
    ],
    "a user gets a link while the route is created again": [
        Route(118, 11, "document"),
        operation("set_if_absent", UID, 119, answer=1, has_pod=True),
        route(119.5, 12),
        user(120, 13, 1),
    ],
    "a deleted link is created again": [
        operation("remove_slot", "x-slot-1", 119, deleted=(6,)),
        gone(120, 12, "x-slot-1"),
        slot(121, 13, 1, 0),
    ],
}


def violated_rules(rows: list[Row]) -> set[str]:
    """Returns the rules that these rows violate, added to the others in the order of their revisions."""
    found = check(Record([*FRAME[:-2], *SLOTS, *rows, *FRAME[-2:], QuietPeriod(161, 190, ("a fault",))]))
    return {violation.rule for violation in found} - {"the record is complete"}


@pytest.mark.parametrize(("rule", "rows"), SLOT_VIOLATIONS.values(), ids=SLOT_VIOLATIONS)
def test_a_rule_about_slots_is_violated_when(rule: str, rows: list[Row]) -> None:
    assert violated_rules(rows) == {rule}


@pytest.mark.parametrize("rows", NO_SLOT_VIOLATIONS.values(), ids=NO_SLOT_VIOLATIONS)
def test_no_rule_about_slots_is_violated_when(rows: list[Row]) -> None:
    assert violated_rules(rows) == set()


def test_every_rule_is_seen_to_be_broken() -> None:
    names = {rule.__name__.replace("_", " ") for rule in RULES}
    assert {rule for rule, _ in (*VIOLATIONS.values(), *SLOT_VIOLATIONS.values())} == names
