"""Each rule of the checker is seen to hold, and to be broken by a record that breaks it."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from chaos.checker import RULES, check
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

LOST, LEASE, BOUND, OVER, TWO, ENDED, MOVED, WHOLE = (
    "no acknowledged operation is lost",
    "only who holds the lease writes",
    "every link is bound soon after the faults end",
    "every link ends soon after its time",
    "no user is on two pods at one revision",
    "no link ends without a reason",
    "no link moves without a reason",
    "the record is whole",
)


def link(at: float, revision: int, pod: int | None = None, *, waits: bool = False, **fields: Any) -> Link:
    """A version of alice's link: bound, unless it waits."""
    said = {} if waits else {"phase": "Bound", "observed": 1, "status_pod": pod}
    known = {"object": "one", "key": ("game", "alice"), "generation": 1, "pod": pod, **said}
    return Link(at, revision, "game.alice", **{**known, **fields})


def end(at: float, revision: int) -> Link:
    """The end of alice's link."""
    return Link(at, revision, "game.alice", is_gone=True)


def did(name: str, begun: float, ended: float, **fields: Any) -> Operation:
    """What a client did with alice's link."""
    return Operation(begun, ended, "driver", name, "game.alice", **fields)


def wrote(received: float, credential: str, resource: str, code: int = 200) -> Write:
    return Write(received, credential, "patch", resource, "game.alice", code)


#: A run in which everything is right: alice is bound, a pod is lost and she is moved, and she is removed.
PODS = [Pod(1, 1, "game-0", "ready", "node-0"), Pod(1, 2, "game-1", "ready", "node-0")]
FRAME = [
    Run(0, 1, 50, 10),
    Route(1, 3, "game", "Rebind", 2.0),
    Workload(1, 4, "game", 8),
    Node(1, 5, "node-0", is_ready=True),
    *PODS,
    Process(1, "operator-0", "a", 1),
    Process(1, "operator-1", "b", 1),
    wrote(2, "a", "leases"),
    did("set", 100, 101, requested_pod=0, writes=((10, 0),), answer=0, has_pod=True),
    link(100.5, 10, 0, waits=True),
    wrote(100.6, "a", "podlinks/status"),
    link(100.7, 11, 0),
    FaultPeriod(150, 160, "a fault"),
    QuietPeriod(160, 190, ("a fault",)),
]
LOSS = [Pod(200, 20, "game-0", "absent"), link(203, 21, 1, waits=True), link(204, 22, 1, previous=(0, "PodLost"))]
REMOVAL = [did("remove", 300, 301, deleted=(22,)), end(300.5, 30)]
RIGHT = [*FRAME, *LOSS, *REMOVAL]


def broken(rows: Sequence[Row]) -> set[str]:
    """The rules that these rows break."""
    return {finding.rule for finding in check(Record(rows))}


def test_a_run_in_which_everything_is_right_breaks_no_rule() -> None:
    assert check(Record(RIGHT)) == []


BREAKS: dict[str, tuple[str, list[Row]]] = {
    "a client was told another pod of the same revision": (TWO, [did("read", 100, 101, writes=((10, 1),))]),
    "a user has two links": (TWO, [msgspec.structs.replace(link(120, 12, 1), name="game.x-616c")]),
    "a status names another pod than the spec": (TWO, [link(120, 12, 0, status_pod=1)]),
    "a version that was acknowledged is nowhere": (LOST, [did("try_set", 120, 121, writes=((12, 0),))]),
    "a deletion that was acknowledged is nowhere": (LOST, [did("remove", 120, 121, deleted=(11,))]),
    "an answer names a pod that the link never had": (LOST, [did("compute", 120, 121, answer=3, has_pod=True)]),
    "an answer from memory is older than it says": (LOST, [did("look_up", 120, 121, has_pod=True, age=5)]),
    "a removal was acknowledged, and the link is there": (LOST, [did("remove", 120, 121)]),
    "a link was created by nobody's account, and is not there": (LOST, [did("leave_the_choice", 50, 51)]),
    "a link moves, and nobody has asked": (MOVED, [link(120, 12, 1)]),
    "a link moves to another pod than was asked": (MOVED, [did("set", 119, 121, requested_pod=0), link(120, 12, 1)]),
    "a link moves long after somebody has asked": (
        MOVED,
        [did("set", 20, 30, requested_pod=1, error="Timeout"), link(120, 12, 1)],
    ),
    "a link moves before the grace is over": (
        MOVED,
        [Pod(120, 12, "game-0", "absent"), link(120.5, 13, 1), Pod(121, 14, "game-0", "ready", "node-0")],
    ),
    "a link leaves a pod that has been back for long": (
        MOVED,
        [Pod(102, 12, "game-0", "absent"), Pod(110, 13, "game-0", "ready", "node-0"), link(190, 14, 1)],
    ),
    "a link leaves a pod that was absent only before it was there": (
        MOVED,
        [
            Pod(115, 12, "game-7", "ready", "node-0"),
            link(116, 13, 7),
            did("set", 115, 116, requested_pod=7),
            link(122, 14, 1),
        ],
    ),
    "a link ends, and nobody has asked": (ENDED, [end(120, 12)]),
    "a link ends before its time": (ENDED, [link(120, 12, 0, expires=190), end(125, 13)]),
    "an operator writes that never had the Lease": (LEASE, [wrote(120, "b", "podlinks")]),
    "an operator writes when another has the Lease": (
        LEASE,
        [wrote(120, "b", "leases"), wrote(121, "a", "statefulroutes/status")],
    ),
    "an operator writes in its next life without the Lease": (
        LEASE,
        [Process(119, "operator-0", "c", 2), wrote(120, "c", "podlinks")],
    ),
    "a link waits for too long": (BOUND, [link(155, 12, 0, waits=True), link(171, 13, 0)]),
    "a link that comes in a calm waits for too long": (BOUND, [link(165, 12, 0, waits=True), link(176, 13, 0)]),
    "a link waits for ever": (BOUND, [link(155, 12, 0, waits=True)]),
    "a link is over when the faults end, and stays for too long": (OVER, [link(120, 12, 0, expires=155), end(171, 13)]),
    "a link is over in a calm, and stays for too long": (OVER, [link(120, 12, 0, expires=165), end(176, 13)]),
    "a link is over, and a write of its status lets it stay": (
        OVER,
        [link(120, 12, 0, expires=155), link(165, 13, 0, expires=155), end(171, 14)],
    ),
    "a link is over, and stays for ever": (OVER, [link(120, 12, 0, expires=155)]),
    "the recorder has missed something": (WHOLE, [Gap(120, 12)]),
    "a version comes after a later one": (WHOLE, [link(120, 9, 0)]),
}


@pytest.mark.parametrize(("rule", "rows"), BREAKS.values(), ids=BREAKS)
def test_a_rule_is_broken_when(rule: str, rows: list[Row]) -> None:
    assert broken([*FRAME, *rows]) == {rule}


HOLDS: dict[str, list[Row]] = {
    "a link moves because somebody asks": [
        did("set", 119, 121, requested_pod=1, answer=1, has_pod=True),
        link(120, 12, 1),
    ],
    "a link moves because somebody may have asked": [
        did("set", 100, 110, requested_pod=1, error="Timeout"),
        link(120, 12, 1),
    ],
    "a link moves because its pod is not to come back": [Workload(119, 12, "game", 0), link(120, 13, 1)],
    "a link moves because its pod's node was lost": [Node(115, 12, "node-0", is_ready=False), link(120, 13, 1)],
    "a link that is over is taken by somebody else": [
        link(120, 12, 0, expires=125),
        did("compute", 130, 131, answer=1, has_pod=True),
        link(130.5, 13, 1),
    ],
    "a link ends with its time": [link(120, 12, 0, expires=125), end(125.2, 13)],
    "a link ends because its kind does": [
        Definition(119, 12, "podlinks.statefulroute.io", is_defined=False),
        end(120, 13),
    ],
    "an answer from memory is as old as it says": [did("look_up", 120, 121, has_pod=True, age=30)],
    "an operator that has lost the Lease was refused": [wrote(120, "b", "leases"), wrote(121, "a", "podlinks", 409)],
    "an operator without the Lease tells events": [wrote(120, "b", "events")],
    "a token was renewed": [Process(119, "operator-0", "c", 1), wrote(120, "c", "podlinks")],
    "a link waits while a fault is there": [link(140, 12, 0, waits=True), link(165, 13, 0)],
    "a link waits just before the next fault": [link(185, 12, 0, waits=True), link(197, 13, 0)],
    "a link is over while a fault is there": [link(120, 12, 0, expires=125), end(165, 13)],
    "a link is over just before the next fault": [link(120, 12, 0, expires=185), end(197, 13)],
    "a link is renewed before it is over": [
        link(120, 12, 0, expires=155),
        link(150, 13, 0, expires=300),
    ],
    "links of a hostile client wait": [Link(155, 12, "game.hostile-1", key=("game", "hostile-1"))],
}


@pytest.mark.parametrize("rows", HOLDS.values(), ids=HOLDS)
def test_no_rule_is_broken_when(rows: list[Row]) -> None:
    assert broken([*FRAME, *rows]) == set()


def test_a_run_in_which_nothing_happens_proves_nothing() -> None:
    assert broken([Run(0, 1, 50, 10)]) == {WHOLE}


def test_every_rule_is_seen_to_be_broken() -> None:
    names = {rule.__name__.replace("_", " ") for rule in RULES}
    assert {rule for rule, _ in BREAKS.values()} == names
