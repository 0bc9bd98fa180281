"""Operations of the commands: moves, requests of a pod, and imports."""

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
PAST = NOON - timedelta(seconds=1)


def temporary(pod: int | None = 0, expires: datetime = LATER) -> Link:
    return link(pod, ttl_seconds=600, expire_time=expires)


def move(
    current: Link | None, pod: int = 2, only_from: int | None = None, ttl_seconds: int | None = None
) -> Step[MoveResult]:
    return move_link(current, NOON, pod=pod, only_from=only_from, ttl_seconds=ttl_seconds)


@pytest.mark.parametrize(
    ("current", "arguments", "step"),
    [
        (None, {}, Step(None, MoveResult(won=False, had_link=False, previous=None))),
        (temporary(expires=PAST), {}, Step(None, MoveResult(won=False, had_link=False, previous=None))),
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
    ids=[
        "none",
        "expired",
        "moved",
        "pending",
        "same pod",
        "from the pod",
        "from another pod",
        "pending from a pod",
        "temporary",
        "other TTL",
    ],
)
def test_move_requires_an_existing_link(
    current: Link | None, arguments: dict[str, Any], step: Step[MoveResult]
) -> None:
    assert move(current, **arguments) == step


@pytest.mark.parametrize(
    ("current", "step"),
    [
        (None, Step(Put(Binding(None, 600, NOON)), None)),
        (temporary(expires=PAST), Step(Put(Binding(None, 600, NOON)), None)),
        (link(), Step(None, None)),
        (link(1), Step(None, 1)),
        (temporary(0, NOON + timedelta(seconds=100)), Step(Put(Binding(0, 600, NOON)), 0)),
    ],
    ids=["none", "expired", "pending", "bound", "renewed"],
)
def test_request_creates_a_link_only_if_none_exists(current: Link | None, step: Step[int | None]) -> None:
    assert request_pod(current, NOON, ttl_seconds=600) == step


TEMPORARY = Binding(1, 600, NOON)


@pytest.mark.parametrize(
    ("current", "overwrite", "step"),
    [
        (None, False, Step(Put(TEMPORARY), ImportResult.CREATED)),
        (temporary(1, PAST), False, Step(Put(TEMPORARY), ImportResult.CREATED)),
        (link(0), False, Step(None, ImportResult.KEPT)),
        (link(0), True, Step(Put(TEMPORARY), ImportResult.OVERWRITTEN)),
        (temporary(1), True, Step(None, ImportResult.KEPT)),
        (temporary(1, LATER + timedelta(seconds=1)), True, Step(Put(TEMPORARY), ImportResult.OVERWRITTEN)),
    ],
    ids=["none", "expired", "kept", "overwritten", "same", "other expiry"],
)
def test_import_overwrites_an_existing_link_only_if_requested(
    current: Link | None, *, overwrite: bool, step: Step[ImportResult]
) -> None:
    assert import_link(current, NOON, binding=TEMPORARY, overwrite=overwrite) == step
