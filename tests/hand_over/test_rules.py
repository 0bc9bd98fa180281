"""Tests each rule with a record that keeps it and records that violate it."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from hand_over.figures import hand_overs, pauses, withdrawn
from hand_over.record import Answered, AnyEntry, Committed, Damaged, Entry, Loaded, Record
from hand_over.rules import RULES, check
from hand_over.state import Expected, State
from support.link_recorder import Version

OWNERS, HOLDS, COMMITTED, LOST, FORMER, WHOLE, ENDS, QUIET, EMPTY = (rule.__name__.replace("_", " ") for rule in RULES)

DIGEST = Expected("alice").digest


def link(revision: int, pod: int, to: int | None = None, **status: Any) -> Version:
    """Returns a version of alice's link."""
    hand_over = {} if to is None else {"handOver": {"podIndex": to}}
    metadata = {"name": "game.alice", "resourceVersion": str(revision)}
    status = {"phase": "Bound", "podIndex": pod, **status}
    return Version("MODIFIED", {"metadata": metadata, "spec": {"podIndex": pod, **hand_over}, "status": status})


def loaded(at: float, pod: int, *, is_transferred: bool = True) -> Loaded:
    return Loaded(at=at, uid="alice", pod=pod, number=0, is_transferred=is_transferred)


def committed(at: float, pod: int, token: int, number: int, digest: str = "") -> Committed:
    return Committed(at=at, uid="alice", pod=pod, token=token, number=number, digest=digest or DIGEST(number))


def answered(at: float, pod: int, number: int, digest: str = "") -> Answered:
    return Answered(at=at, uid="alice", pod=pod, number=number, digest=digest or DIGEST(number), sent=at)


LINKS = [link(10, 0), link(20, 0, to=1), link(30, 1)]

#: Alice writes at pod 0, is handed over, and writes at pod 1.
WRITES: list[AnyEntry] = [
    loaded(0.0, 0, is_transferred=False),
    committed(1.0, 0, 10, 1),
    answered(1.1, 0, 1),
    committed(2.0, 0, 20, 2),
    answered(2.1, 0, 2),
    loaded(2.2, 1),
    committed(2.3, 1, 30, 3),
    answered(2.5, 1, 3),
]

GOOD = Record(entries=WRITES, links={"alice": LINKS}, held={0: [], 1: ["alice"]}, quiet_until=5.0)


def test_a_good_record_keeps_all_rules() -> None:
    assert check(GOOD) == []
    assert (hand_overs(GOOD), withdrawn(GOOD)) == (1, 0)
    assert pauses(GOOD, quiet=True) == [pytest.approx(0.4)]
    assert pauses(GOOD, quiet=False) == []


def with_entry(entry: Entry) -> dict[str, Any]:
    return {"entries": sorted([*WRITES, entry], key=lambda each: each.at)}


def with_other(index: int, **fields: Any) -> dict[str, Any]:
    changed = msgspec.structs.replace(WRITES[index], **fields)
    return {"entries": [*WRITES[:index], changed, *WRITES[index + 1 :]]}


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        (OWNERS, with_entry(committed(2.4, 0, 20, 3))),
        (OWNERS, with_other(6, token=20)),
        (HOLDS, with_other(6, token=31)),
        (HOLDS, with_other(6, token=20)),
        (HOLDS, with_other(1, pod=2)),
        (COMMITTED, with_entry(answered(2.6, 1, 4))),
        (COMMITTED, with_other(6, at=2.6)),
        (LOST, {"entries": [*WRITES[:6], committed(2.3, 1, 30, 1), answered(2.5, 1, 1)]}),
        (LOST, with_other(7, digest=State("alice").after(3).digest)),
        (LOST, with_entry(committed(3.0, 1, 30, 2))),
        (FORMER, with_entry(answered(2.6, 0, 4))),
        (FORMER, with_other(7, pod=2)),
        (WHOLE, with_entry(Damaged(at=2.2, uid="alice", pod=1, error="100 bytes"))),
        (ENDS, {"held": {0: ["alice"], 1: ["alice"]}}),
        (ENDS, {"held": {0: ["alice"], 1: []}}),
        (ENDS, {"links": {"alice": [*LINKS, link(40, 1, to=2)]}}),
        (ENDS, {"links": {"alice": [*LINKS, link(40, 1, podIndex=0)]}}),
        (ENDS, {"links": {"alice": [*LINKS, link(40, 1, phase="HandingOver")]}}),
        (ENDS, {"links": {"alice": [*LINKS, link(40, 2)]}}),
        (QUIET, with_other(5, is_transferred=False)),
        (EMPTY, {"entries": WRITES[:5]}),
        (EMPTY, {"links": {"alice": LINKS, "bob": LINKS}}),
    ],
)
def test_a_violation_is_found(rule: str, changes: dict[str, Any]) -> None:
    found = {message.partition(":")[0] for message in check(replace(GOOD, **changes))}
    assert rule in found


def test_a_state_is_whole_or_refused() -> None:
    state = State("alice").after(1).after(2)
    assert State.decode(state.encode()) == state
    for damaged in (state.encode()[:-1], b"", state.encode()[:-1] + b"?"):
        with pytest.raises(ValueError):  # noqa: PT011 - whatever the message is
            State.decode(damaged)
