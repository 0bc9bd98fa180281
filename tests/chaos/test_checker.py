"""Tests each rule of the checker with a record that keeps it and records that violate it."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from chaos.checker import check
from chaos.record import (
    Definition,
    FaultPeriod,
    Gap,
    Link,
    Node,
    Operation,
    Pod,
    Process,
    QuietPeriod,
    Record,
    Route,
    Row,
    Run,
    Workload,
    Write,
)

LOST, LEASE, BOUND, OVER, TWO, ENDED, MOVED, NO_NODE, ASKED, KEPT, LEFT, STATED, HANDED, COMPLETE = (
    "no acknowledged operation is lost",
    "only the lease holder writes",
    "every link is bound soon after the faults end",
    "every link ends soon after its time",
    "no user is on two pods at one revision",
    "no link ends without a reason",
    "no link moves without a reason",
    "no pod loses links while no node is ready",
    "no hand over starts without a reason",
    "no hand over is lost",
    "no move leaves a hand over behind",
    "a status names the hand over of its spec",
    "every hand over ends soon after the faults end",
    "the record is complete",
)


def link(at: float, revision: int, pod: int | None = None, *, waits: bool = False, **fields: Any) -> Link:
    """Returns a version of alice's link: bound, unless it waits."""
    status = {} if waits else {"phase": "Bound", "observed": 1, "status_pod": pod}
    common = {"object": "one", "key": ("game", "alice"), "generation": 1, "pod": pod, **status}
    return Link(at, revision, "game.alice", **{**common, **fields})


def end(at: float, revision: int) -> Link:
    """Returns the deletion of alice's link."""
    return Link(at, revision, "game.alice", is_gone=True)


def operation(name: str, started: float, ended: float, **fields: Any) -> Operation:
    """Returns an operation of a client on alice's link."""
    return Operation(started, ended, "driver", name, "game.alice", **fields)


def write(received: float, credential: str, resource: str, code: int = 200) -> Write:
    return Write(received, credential, "patch", resource, "game.alice", code)


#: A run without violations: alice is bound, her pod is lost and she is moved, and her link is removed.
PODS = [Pod(1, 1, "game-0", "ready", "node-0"), Pod(1, 2, "game-1", "ready", "node-0")]
FRAME = [
    Run(0, 1, 50, 10),
    Route(1, 3, "game", "Rebind", 2.0, hand_over_seconds=3.0),
    Workload(1, 4, "game", 8),
    Node(1, 5, "node-0", is_ready=True),
    Node(1, 6, "node-1", is_ready=True),
    *PODS,
    Process(1, "operator-0", "a", 1),
    Process(1, "operator-1", "b", 1),
    write(2, "a", "leases"),
    operation("set", 100, 101, requested_pod=0, writes=((10, 0),), answer=0, has_pod=True),
    link(100.5, 10, 0, waits=True),
    write(100.6, "a", "podlinks/status"),
    link(100.7, 11, 0),
    FaultPeriod(150, 160, "a fault"),
    QuietPeriod(160, 190, ("a fault",)),
]
LOSS = [Pod(200, 20, "game-0", "absent"), link(203, 21, 1, waits=True), link(204, 22, 1, previous=(0, "PodLost"))]
REMOVAL = [operation("remove", 300, 301, deleted=(22,)), end(300.5, 30)]
COMPLETE_RUN = [*FRAME, *LOSS, *REMOVAL]


def violated_rules(rows: Sequence[Row]) -> set[str]:
    """Returns the rules that these rows violate."""
    return {violation.rule for violation in check(Record(rows))}


def test_run_without_violations_passes() -> None:
    assert check(Record(COMPLETE_RUN)) == []


#: No node is ready for a while.
OUTAGE = [Node(115, 12, "node-0", is_ready=False), Node(115, 13, "node-1", is_ready=False)]
OUTAGE_END = Node(125, 15, "node-0", is_ready=True)

#: Alice is to be handed over to game-1, at her request.
REQUEST = operation("hand_over", 118, 119, requested_pod=1, answer=0, has_pod=True)


def handing_over(at: float, revision: int, pod: int = 0, to: int = 1, **fields: Any) -> Link:
    """Returns a version of alice's link that asks for a hand-over."""
    return link(at, revision, pod, **{"phase": "HandingOver", "hand_over": (to, "now"), **fields})


ASKS = [REQUEST, handing_over(120, 12)]

VIOLATIONS: dict[str, tuple[str, list[Row]]] = {
    "a client received another pod at the same revision": (TWO, [operation("read", 100, 101, writes=((10, 1),))]),
    "a user has two links": (TWO, [msgspec.structs.replace(link(120, 12, 1), name="game.x-616c")]),
    "a status names another pod than the spec": (TWO, [link(120, 12, 0, status_pod=1)]),
    "an acknowledged version does not exist": (LOST, [operation("try_set", 120, 121, writes=((12, 0),))]),
    "an acknowledged deletion did not happen": (LOST, [operation("remove", 120, 121, deleted=(11,))]),
    "an answer names a pod that the link never had": (LOST, [operation("compute", 120, 121, answer=3, has_pod=True)]),
    "a cached answer is older than its age": (LOST, [operation("look_up", 120, 121, has_pod=True, age=5)]),
    "a removal was acknowledged, but the link exists": (LOST, [operation("remove", 120, 121)]),
    "a creation was acknowledged, but the link does not exist": (LOST, [operation("leave_the_choice", 50, 51)]),
    "a link moves without a request": (MOVED, [link(120, 12, 1)]),
    "a link moves to another pod than requested": (
        MOVED,
        [operation("set", 119, 121, requested_pod=0), link(120, 12, 1)],
    ),
    "a link moves long after a request": (
        MOVED,
        [operation("set", 20, 30, requested_pod=1, error="Timeout"), link(120, 12, 1)],
    ),
    "a link moves before the grace period ends": (
        MOVED,
        [Pod(120, 12, "game-0", "absent"), link(120.5, 13, 1), Pod(121, 14, "game-0", "ready", "node-0")],
    ),
    "a link leaves a pod that returned long ago": (
        MOVED,
        [Pod(102, 12, "game-0", "absent"), Pod(110, 13, "game-0", "ready", "node-0"), link(190, 14, 1)],
    ),
    "a link leaves a pod that was not ready for a moment": (
        MOVED,
        [Pod(115, 12, "game-0", "unready", "node-0"), link(121, 13, 1)],
    ),
    "a link leaves a pod that was absent only before it existed": (
        MOVED,
        [
            Pod(115, 12, "game-7", "ready", "node-0"),
            link(116, 13, 7),
            operation("set", 115, 116, requested_pod=7),
            link(122, 14, 1),
        ],
    ),
    "a link moves while no node is ready": (NO_NODE, [*OUTAGE, link(120, 14, 1), OUTAGE_END]),
    "a link is marked while no node is ready": (
        NO_NODE,
        [*OUTAGE, link(120, 14, 0, phase="Lost"), OUTAGE_END, link(126, 16, 0)],
    ),
    "a link is deleted without a request": (ENDED, [end(120, 12)]),
    "a link is deleted before it expires": (ENDED, [link(120, 12, 0, expires=190), end(125, 13)]),
    "an operator writes that never held the Lease": (LEASE, [write(120, "b", "podlinks")]),
    "an operator writes while another holds the Lease": (
        LEASE,
        [write(120, "b", "leases"), write(121, "a", "statefulroutes/status")],
    ),
    "a restarted operator writes without the Lease": (
        LEASE,
        [Process(119, "operator-0", "c", 2), write(120, "c", "podlinks")],
    ),
    "a link waits too long": (BOUND, [link(155, 12, 0, waits=True), link(171, 13, 0)]),
    "a link that is created without faults waits too long": (BOUND, [link(165, 12, 0, waits=True), link(176, 13, 0)]),
    "a link waits forever": (BOUND, [link(155, 12, 0, waits=True)]),
    "a link is expired when the faults end, and stays too long": (OVER, [link(120, 12, 0, expires=155), end(171, 13)]),
    "a link expires without faults, and stays too long": (OVER, [link(120, 12, 0, expires=165), end(176, 13)]),
    "a write of the status keeps an expired link": (
        OVER,
        [link(120, 12, 0, expires=155), link(165, 13, 0, expires=155), end(171, 14)],
    ),
    "an expired link stays forever": (OVER, [link(120, 12, 0, expires=155)]),
    "a link is handed over before the time-out, and nobody commits": (MOVED, [*ASKS, link(121, 13, 1)]),
    "the operator hands a link over to another pod than asked": (MOVED, [*ASKS, link(130, 13, 2)]),
    "a driver commits a hand-over that the link does not ask for": (
        MOVED,
        [operation("commit", 119, 121, requested_pod=1), link(120, 12, 1)],
    ),
    "the operator commits while no node is ready": (
        NO_NODE,
        [*ASKS[:1], handing_over(114, 12), *OUTAGE, link(120, 14, 1), OUTAGE_END],
    ),
    "a link asks for a hand-over without a request": (ASKED, [handing_over(120, 12), link(124, 13, 1)]),
    "a link asks for a hand-over to another pod than requested": (
        ASKED,
        [REQUEST, handing_over(120, 12, to=3), link(124, 13, 3)],
    ),
    "a renewal drops a hand-over": (
        KEPT,
        [*ASKS, operation("renew", 120, 121), link(120.5, 13, 0, expires=500)],
    ),
    "a hand-over ends without a reason": (KEPT, [*ASKS, link(130, 13, 0)]),
    "a move to another pod leaves the hand-over behind": (
        LEFT,
        [
            *ASKS,
            operation("set", 120, 122, requested_pod=2, answer=2, has_pod=True),
            handing_over(121, 13, 2, phase="Bound"),
            operation("old_set", 140, 141, requested_pod=2, answer=2, has_pod=True),
            link(141, 14, 2),
        ],
    ),
    "a status names a hand-over that has ended": (
        STATED,
        [
            *ASKS,
            operation("set", 120, 122, requested_pod=0, answer=0, has_pod=True),
            link(121, 13, 0, phase="HandingOver"),
        ],
    ),
    "a hand-over is in progress when the faults end, and stays too long": (
        HANDED,
        [*ASKS, link(175, 13, 1)],
    ),
    "a hand-over that begins without faults stays too long": (
        HANDED,
        [operation("hand_over", 164, 165, requested_pod=1), handing_over(165, 12), link(179, 13, 1)],
    ),
    "a hand-over never ends": (HANDED, ASKS),
    "the recorder missed revisions": (COMPLETE, [Gap(120, 12)]),
    "a version is recorded after a later one": (COMPLETE, [link(120, 9, 0)]),
}


@pytest.mark.parametrize(("rule", "rows"), VIOLATIONS.values(), ids=VIOLATIONS)
def test_rule_is_violated_when(rule: str, rows: list[Row]) -> None:
    assert violated_rules([*FRAME, *rows]) == {rule}


NO_VIOLATIONS: dict[str, list[Row]] = {
    "a link moves on request": [
        operation("set", 119, 121, requested_pod=1, answer=1, has_pod=True),
        link(120, 12, 1),
    ],
    "a link moves after a request with an unknown result": [
        operation("set", 100, 110, requested_pod=1, error="Timeout"),
        link(120, 12, 1),
    ],
    "a link moves because its pod cannot return": [Workload(119, 12, "game", 0), link(120, 13, 1)],
    "a link moves because its pod's node was lost": [Node(115, 12, "node-0", is_ready=False), link(120, 13, 1)],
    "a link moves on request while no node is ready": [
        *OUTAGE,
        operation("set", 119, 121, requested_pod=1, answer=1, has_pod=True),
        link(120, 14, 1),
        OUTAGE_END,
    ],
    "a link moves after some nodes are ready again": [
        *OUTAGE,
        Node(118, 14, "node-1", is_ready=True),
        link(120, 15, 1),
    ],
    "a link moves because its pod does not become ready": [
        Route(110, 12, "game", "Rebind", 2.0, not_ready_seconds=5.0),
        Pod(115, 13, "game-0", "unready", "node-0"),
        link(121, 14, 1),
    ],
    "an expired link is replaced by another client": [
        link(120, 12, 0, expires=125),
        operation("compute", 130, 131, answer=1, has_pod=True),
        link(130.5, 13, 1),
    ],
    "a link is deleted when it expires": [link(120, 12, 0, expires=125), end(125.2, 13)],
    "a link is deleted with its CRD": [
        Definition(119, 12, "podlinks.statefulroute.io", is_defined=False),
        end(120, 13),
    ],
    "a cached answer is not older than its age": [operation("look_up", 120, 121, has_pod=True, age=30)],
    "the write of an operator that lost the Lease was rejected": [
        write(120, "b", "leases"),
        write(121, "a", "podlinks", 409),
    ],
    "an operator without the Lease creates events": [write(120, "b", "events")],
    "a token was renewed": [Process(119, "operator-0", "c", 1), write(120, "c", "podlinks")],
    "a link waits during a fault": [link(140, 12, 0, waits=True), link(165, 13, 0)],
    "a link waits just before the next fault": [link(185, 12, 0, waits=True), link(197, 13, 0)],
    "a link expires during a fault": [link(120, 12, 0, expires=125), end(165, 13)],
    "a link expires just before the next fault": [link(120, 12, 0, expires=185), end(197, 13)],
    "a link is renewed before it expires": [
        link(120, 12, 0, expires=155),
        link(150, 13, 0, expires=300),
    ],
    "the driver of the old pod commits": [
        *ASKS,
        operation("commit", 120, 121, requested_pod=1, writes=((13, 1),), answer=1, has_pod=True),
        link(121, 13, 1),
    ],
    "the operator commits after the time-out": [*ASKS, link(123, 13, 1, previous=(0, "HandedOver"))],
    "the operator commits because the old pod is gone": [
        *ASKS,
        Pod(120.2, 13, "game-0", "absent"),
        link(120.5, 14, 2),
    ],
    "the operator commits at once in a route without hand-overs": [
        Route(110, 10, "game", "Rebind", 2.0),
        *ASKS,
        link(120.5, 13, 1),
    ],
    "a link of a route without hand-overs is moved on request while no node is ready": [
        Route(110, 10, "game", "Rebind", 2.0),
        REQUEST,
        *OUTAGE,
        handing_over(119, 14, phase="Bound"),
        link(120, 15, 1),
        OUTAGE_END,
    ],
    "a client moves the link during a hand-over": [
        *ASKS,
        operation("set", 120, 121, requested_pod=2, answer=2, has_pod=True),
        link(120.5, 13, 2),
    ],
    "a client sets the present pod, which ends a hand-over": [
        *ASKS,
        operation("set", 120, 121, requested_pod=0, answer=0, has_pod=True),
        link(120.5, 13, 0),
    ],
    "a hand-over that is asked for before the status names the present pod is withdrawn": [
        REQUEST,
        handing_over(120, 12, phase="Bound", status_pod=2, observed=0),
        link(120.5, 13, 0),
    ],
    "a hand-over to another pod replaces one": [
        *ASKS,
        operation("hand_over", 120, 121, requested_pod=2),
        handing_over(120.5, 13, to=2),
        link(124, 14, 2),
    ],
    "a hand-over ends because the new pod is not ready": [
        *ASKS,
        Pod(120.2, 13, "game-1", "unready", "node-0"),
        link(120.5, 14, 0),
    ],
    "a hand-over ends because the new pod is shut down": [
        *ASKS,
        Route(120.2, 13, "game", "Rebind", 2.0, hand_over_seconds=3.0, shut_down=(1,)),
        link(120.5, 14, 0),
    ],
    "a pod that is shut down hands its users over": [
        Route(119, 11, "game", "Rebind", 2.0, hand_over_seconds=3.0, shut_down=(0,)),
        handing_over(120, 12, to=3),
        link(123, 13, 3),
    ],
    "a pod that is shut down loses its users when it is not ready": [
        Route(119, 11, "game", "Rebind", 2.0, hand_over_seconds=3.0, shut_down=(0,)),
        Pod(120, 12, "game-0", "unready", "node-0"),
        link(120.5, 13, 3),
    ],
    "a client without hand-overs moves the link, and the operator withdraws": [
        *ASKS,
        operation("old_set", 120, 121, requested_pod=2, answer=2, has_pod=True),
        handing_over(120.5, 13, 2, waits=True),
        link(121, 14, 2),
    ],
    "a client without hand-overs commits, and the operator removes the rest": [
        *ASKS,
        operation("old_set", 120, 121, requested_pod=1, answer=1, has_pod=True),
        handing_over(120.5, 13, 1, waits=True),
        link(121, 14, 1),
    ],
    "a renewal keeps a hand-over": [
        *ASKS,
        operation("renew", 120, 121),
        handing_over(120.5, 13, expires=500),
        link(124, 14, 1, expires=500),
    ],
    "a hand-over lasts through a fault": [
        operation("hand_over", 150, 151, requested_pod=1),
        handing_over(151, 12),
        link(172, 13, 1),
    ],
    "links of a hostile client wait": [Link(155, 12, "game.hostile-1", key=("game", "hostile-1"))],
}


@pytest.mark.parametrize("rows", NO_VIOLATIONS.values(), ids=NO_VIOLATIONS)
def test_no_rule_is_violated_when(rows: list[Row]) -> None:
    assert violated_rules([*FRAME, *rows]) == set()


def test_run_without_operations_and_faults_is_incomplete() -> None:
    assert violated_rules([Run(0, 1, 50, 10)]) == {COMPLETE}
