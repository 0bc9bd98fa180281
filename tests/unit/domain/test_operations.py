"""Operations of the commands (moves, requests of a pod, imports), and all operations with clocks that differ."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from statefulroute.domain.keys import NO_POD, PodKey
from statefulroute.domain.link import HandOver, Link
from statefulroute.domain.operations import (
    Attempt,
    Binding,
    Delete,
    ImportResult,
    MoveResult,
    Put,
    Step,
    classify_write,
    find_holder,
    import_link,
    move_link,
    remove_link,
    remove_link_if_bound_to,
    renew_link,
    request_pod,
    set_link,
    set_link_if_absent,
    try_set_link,
)
from statefulroute.domain.times import TimeInterval
from unit.domain.builders import NOON, link

NOW = TimeInterval.at(NOON)
LATER = NOON + timedelta(seconds=600)
PAST = NOON - timedelta(seconds=1)


def temporary(pod: int | None = 0, expires: datetime = LATER) -> Link:
    return link(pod, ttl_seconds=600, expire_time=expires)


def move(
    current: Link | None, pod: int = 2, only_from: PodKey | None = None, ttl_seconds: int | None = None
) -> Step[MoveResult]:
    return move_link(current, NOW, pod=pod, only_from=only_from, ttl_seconds=ttl_seconds)


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
        (link(), {"only_from": NO_POD}, Step(Put(Binding(2)), MoveResult(won=True, had_link=True, previous=None))),
        (link(0), {"only_from": NO_POD}, Step(None, MoveResult(won=False, had_link=True, previous=0))),
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
        "pending only",
        "bound, pending only",
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
    assert request_pod(current, NOW, ttl_seconds=600) == step


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
    assert import_link(current, NOW, binding=TEMPORARY, overwrite=overwrite) == step


@pytest.mark.parametrize(
    ("current", "pod", "removed"), [(link(), NO_POD, True), (link(0), NO_POD, False), (link(), 0, False)]
)
def test_a_waiting_link_is_removed_only_as_such(current: Link, pod: PodKey, removed: bool) -> None:
    step = remove_link_if_bound_to(current, NOW, pod=pod, grace_seconds=None)
    assert step == Step(Delete() if removed else None, removed)


class TestClocksDiffer:
    """A link has expired if it has by both clocks, and lives from the later one on."""

    NOW = TimeInterval(NOON - timedelta(hours=1), NOON)

    @pytest.mark.parametrize(
        "rule",
        [
            find_holder,
            partial(request_pod, ttl_seconds=60),
            partial(set_link_if_absent, pod=2, ttl_seconds=60),
            partial(set_link, pod=2, ttl_seconds=60),
        ],
        ids=["find", "request", "set if absent", "set"],
    )
    def test_link_that_has_ended_by_one_clock_exists(self, rule: Callable[..., Step[int | None]]) -> None:
        assert rule(temporary(1, PAST), self.NOW).result == 1
        ended = rule(temporary(1, self.NOW.earliest), self.NOW)
        assert ended.result != 1

    def test_link_that_has_ended_by_one_clock_can_be_moved_and_removed(self) -> None:
        move_result = move_link(temporary(1, PAST), self.NOW, pod=2, only_from=1, ttl_seconds=None).result
        assert move_result == MoveResult(won=True, had_link=True, previous=1)
        assert remove_link(temporary(1, PAST), self.NOW, grace_seconds=None) == Step(Delete(), result=True)
        removal = remove_link_if_bound_to(temporary(1, PAST), self.NOW, pod=1, grace_seconds=None)
        assert removal == Step(Delete(), result=True)

    def test_renewal_is_written_and_due_by_the_later_clock(self) -> None:
        due = temporary(1, NOON + timedelta(seconds=299))
        assert renew_link(due, self.NOW) == Step(Put(Binding(1, 600, NOON)), result=True)
        assert renew_link(temporary(1, NOON + timedelta(seconds=300)), self.NOW) == Step(None, result=True)

    def test_repeated_set_writes_nothing(self) -> None:
        assert set_link(temporary(1), self.NOW, pod=1, ttl_seconds=600) == Step(None, 1)


@pytest.mark.parametrize(
    ("before", "write", "expected"),
    [
        (None, Put(Binding(0)), "bound"),
        (None, Put(Binding(None)), "updated"),
        (link(), Put(Binding(1)), "bound"),
        (link(1), Put(Binding(1, 60)), "updated"),
        (link(0), Put(Binding(1)), "moved"),
        (temporary(expires=PAST), Put(Binding(1)), "bound"),
        (link(0), Delete(), "removed"),
    ],
    ids=["first", "pod requested", "waiting", "renewed", "moved", "expired", "deleted"],
)
def test_write_is_classified_by_what_it_changes(before: Link | None, write: Put | Delete, expected: str) -> None:
    assert classify_write(before, write, NOW.earliest) == expected


HAND_OVER = HandOver(2, "2026-01-01T12:00:00Z")


def test_renewal_keeps_the_hand_over() -> None:
    current = link(0, ttl_seconds=600, expire_time=NOON + timedelta(seconds=100), hand_over=HAND_OVER)
    renewed = Put(Binding(0, 600, NOON, HAND_OVER))
    assert renew_link(current, NOW).write == renewed
    assert find_holder(current, NOW).write == renewed
    assert set_link_if_absent(current, NOW, pod=1, ttl_seconds=60).write == renewed
    assert request_pod(current, NOW, ttl_seconds=60).write == renewed
    assert remove_link(current, NOW, grace_seconds=60).write == Put(Binding(0, 60, NOON, HAND_OVER))


@pytest.mark.parametrize("pod", [0, 1, 2])
def test_pod_that_is_set_ends_the_hand_over_even_if_it_is_the_same(pod: int) -> None:
    current = link(0, hand_over=HAND_OVER)
    assert set_link(current, NOW, pod=pod, ttl_seconds=None).write == Put(Binding(pod))
    assert move(current, pod=pod).write == Put(Binding(pod))


def test_pod_that_claims_its_own_user_keeps_the_hand_over() -> None:
    """A server that claims its users with each of their requests would never be empty otherwise."""
    current = link(0, hand_over=HAND_OVER)
    assert try_set_link(current, NOW, pod=0, ttl_seconds=None) == Step(None, Attempt(won=True, holder=0))
    assert try_set_link(current, NOW, pod=0, ttl_seconds=60).write == Put(Binding(0, 60, NOON, HAND_OVER))


def test_pod_that_claims_the_user_of_a_temporary_link_to_another_pod_ends_the_hand_over() -> None:
    current = link(0, ttl_seconds=600, expire_time=NOON + timedelta(seconds=500), hand_over=HAND_OVER)
    assert try_set_link(current, NOW, pod=1, ttl_seconds=None).write == Put(Binding(1))
