"""What a hand-over means for its two pods."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.leaving import CommitResult, commit_hand_over, hand_over_from, sibling_name
from statefulroute.domain.link import HandOver, Link
from statefulroute.domain.operations import Binding, Put, Step
from statefulroute.domain.times import TimeInterval

NOW = TimeInterval.at(datetime(2026, 1, 1, tzinfo=UTC))
ASKED = HandOver(2, "2026-01-01T00:00:00Z")
AGAIN = HandOver(2, "2026-01-01T00:00:01Z")


def link(pod: PodKey | None = 0, hand_over: HandOver | None = ASKED, **fields: Any) -> Link:
    return Link(
        route=RouteKey("play", "game"),
        name="game.alice",
        resource_version=7,
        generation=1,
        pod=pod,
        hand_over=hand_over,
        **fields,
    )


@pytest.mark.parametrize(
    ("present", "pod", "expected"),
    [
        (link(), 0, ASKED),
        (link(), 1, None),
        (link(), 2, None),
        (link(hand_over=None), 0, None),
        (link(pod=2), 2, None),  # a client without hand-overs has moved the link
        (link(violation="a rule"), 0, None),
        (link(foreign_namespace="other"), 0, None),
        (None, 0, None),
    ],
)
def test_hand_over_that_a_link_asks_a_pod_for(present: Link | None, pod: PodKey, expected: HandOver | None) -> None:
    assert hand_over_from(present, pod) == expected


@pytest.mark.parametrize(
    ("present", "result"),
    [
        (link(), CommitResult.COMMITTED),
        (link(hand_over=AGAIN), CommitResult.WITHDRAWN),
        (link(hand_over=HandOver(1, ASKED.start_time)), CommitResult.WITHDRAWN),
        (link(hand_over=None), CommitResult.WITHDRAWN),
        (link(pod=2, hand_over=None), CommitResult.MOVED),
        (link(pod=1, hand_over=None), CommitResult.WITHDRAWN),
        (link(pod=1), CommitResult.WITHDRAWN),
        (None, CommitResult.WITHDRAWN),
        (link(expire_time=NOW.earliest, ttl_seconds=60), CommitResult.WITHDRAWN),
    ],
)
def test_commit_moves_only_the_link_that_asks_for_it(present: Link | None, result: CommitResult) -> None:
    step = commit_hand_over(present, NOW, origin=0, hand_over=ASKED)
    assert step == Step(Put(Binding(2)) if result is CommitResult.COMMITTED else None, result)


def test_commit_keeps_the_lifetime_of_a_temporary_link() -> None:
    ends = NOW.latest + timedelta(seconds=5)
    step = commit_hand_over(link(expire_time=ends, ttl_seconds=60), NOW, origin=0, hand_over=ASKED)
    assert step.write == Put(Binding(2, 60, ends - timedelta(seconds=60)))


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [("game-0", 12, "game-12"), ("game-10", 0, "game-0"), ("game-a-7", 1, "game-a-1"), ("game-x", 1, None)],
)
def test_name_of_another_pod(name: str, key: PodKey, expected: str | None) -> None:
    assert sibling_name(name, key) == expected
    assert sibling_name(name, "game-x2x4c") == "game-x2x4c"
