"""The played drivers: what they commit, and that early renewals keep hand-overs."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

from chaos.hand_over_clients import PodDrivers, commit_hand_over, renew_early
from chaos.record import Link as LinkRow
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import HandOver, Link
from statefulroute.domain.operations import Binding, Put
from statefulroute.domain.times import TimeInterval

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW = TimeInterval.at(NOON)
HAND_OVER, OTHER = HandOver(2, "now"), HandOver(2, "later")


def link(**fields: object) -> Link:
    identity = {"name": "game.alice", "resource_version": 1, "generation": 1, "route": RouteKey("play", "game")}
    return Link(**{**identity, "pod": 0, "hand_over": HAND_OVER, **fields})  # type: ignore[arg-type]


def test_commit_moves_the_link_only_for_the_hand_over_that_it_asks_for() -> None:
    committed = commit_hand_over(link(), NOW, hand_over=HAND_OVER)
    assert (committed.write, committed.result) == (Put(Binding(2)), 2)
    for current, holder in ((link(hand_over=None), 0), (link(hand_over=OTHER), 0), (None, None)):
        step = commit_hand_over(current, NOW, hand_over=HAND_OVER)
        assert (step.write, step.result) == (None, holder)


def test_early_renewal_is_always_due_and_keeps_the_hand_over() -> None:
    temporary = link(ttl_seconds=20, expire_time=NOON + timedelta(seconds=20))
    write = renew_early(temporary, NOW).write
    assert isinstance(write, Put)
    assert (write.binding.pod, write.binding.hand_over) == (0, HAND_OVER)
    assert renew_early(link(), NOW).write is None


async def test_drivers_commit_each_hand_over_at_most_once_and_end_with_the_load() -> None:
    committed: list[tuple[str, str, HandOver]] = []
    rows = {
        f"game.{uid}": (0.0, LinkRow(0, 1, f"game.{uid}", key=("game", uid), hand_over=(2, "now"))) for uid in "abc"
    }

    async def commit(route: str, uid: str, hand_over: HandOver) -> None:
        committed.append((route, uid, hand_over))

    class Eager(random.Random):
        def random(self) -> float:
            return 0.0

        def uniform(self, a: float, b: float) -> float:
            del b
            return a

    polls = iter([False, False, True])
    await asyncio.wait_for(PodDrivers(lambda: rows, {"game": 0.0}, commit, lambda: next(polls), Eager()).run(), 10)
    assert sorted(committed) == [("game", uid, HAND_OVER) for uid in "abc"]
