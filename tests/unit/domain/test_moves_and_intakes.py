"""The rules that the commands ask of one link: moving it, leaving its pod to the operator, taking it in from a file."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from statefulroute.domain.link import Link
from statefulroute.domain.operations import (
    Binding,
    ImportResult,
    MoveResult,
    Put,
    Step,
    import_link,
    move_link,
    request_pod,
)
from unit.domain.builders import NOON, link

LATER = NOON + timedelta(seconds=600)
OVER = NOON - timedelta(seconds=1)


def temporary(pod: int | None = 0, ends: datetime = LATER) -> Link:
    return link(pod, ttl_seconds=600, expire_time=ends)


def move(
    held: Link | None, pod: int = 2, only_from: int | None = None, ttl_seconds: int | None = None
) -> Step[MoveResult]:
    return move_link(held, NOON, pod=pod, only_from=only_from, ttl_seconds=ttl_seconds)


@pytest.mark.parametrize(
    ("held", "asked", "step"),
    [
        (None, {}, Step(None, MoveResult(won=False, had_link=False, previous=None))),
        (temporary(ends=OVER), {}, Step(None, MoveResult(won=False, had_link=False, previous=None))),
        (link(0), {}, Step(Put(Binding(2)), MoveResult(won=True, had_link=True, previous=0))),
        (link(), {}, Step(Put(Binding(2)), MoveResult(won=True, had_link=True, previous=None))),
        (link(2), {}, Step(None, MoveResult(won=True, had_link=True, previous=2))),
        (link(0), {"only_from": 0}, Step(Put(Binding(2)), MoveResult(won=True, had_link=True, previous=0))),
        (link(1), {"only_from": 0}, Step(None, MoveResult(won=False, had_link=True, previous=1))),
        (link(), {"only_from": 0}, Step(None, MoveResult(won=False, had_link=True, previous=None))),
        (temporary(), {}, Step(Put(Binding(2, 600, NOON)), MoveResult(won=True, had_link=True, previous=0))),
        (
            link(0),
            {"ttl_seconds": 60},
            Step(Put(Binding(2, 60, NOON)), MoveResult(won=True, had_link=True, previous=0)),
        ),
    ],
    ids=["none", "expired", "moved", "chosen", "there", "from-it", "elsewhere", "waits", "temporary", "other-ttl"],
)
def test_only_a_link_that_there_is_moves(held: Link | None, asked: dict[str, Any], step: Step[MoveResult]) -> None:
    assert move(held, **asked) == step


@pytest.mark.parametrize(
    ("held", "step"),
    [
        (None, Step(Put(Binding(None, 600, NOON)), None)),
        (temporary(ends=OVER), Step(Put(Binding(None, 600, NOON)), None)),
        (link(), Step(None, None)),
        (link(1), Step(None, 1)),
        (temporary(0, NOON + timedelta(seconds=100)), Step(Put(Binding(0, 600, NOON)), 0)),
    ],
    ids=["none", "expired", "waits", "bound", "renewed"],
)
def test_the_choice_is_left_open_only_where_there_is_no_link(held: Link | None, step: Step[int | None]) -> None:
    assert request_pod(held, NOON, ttl_seconds=600) == step


FOR_A_WHILE = Binding(1, 600, NOON)


@pytest.mark.parametrize(
    ("held", "overwrite", "step"),
    [
        (None, False, Step(Put(FOR_A_WHILE), ImportResult.CREATED)),
        (temporary(1, OVER), False, Step(Put(FOR_A_WHILE), ImportResult.CREATED)),
        (link(0), False, Step(None, ImportResult.KEPT)),
        (link(0), True, Step(Put(FOR_A_WHILE), ImportResult.OVERWRITTEN)),
        (temporary(1), True, Step(None, ImportResult.KEPT)),
        (temporary(1, LATER + timedelta(seconds=1)), True, Step(Put(FOR_A_WHILE), ImportResult.OVERWRITTEN)),
    ],
    ids=["none", "expired", "kept", "overwritten", "the-same", "another-end"],
)
def test_a_link_that_is_taken_in_gives_way_to_one_that_is_there(
    held: Link | None, *, overwrite: bool, step: Step[ImportResult]
) -> None:
    assert import_link(held, NOON, binding=FOR_A_WHILE, overwrite=overwrite) == step
