"""The latest changes: numbered, counted over a minute, and bounded."""

from datetime import timedelta

from statefulroute.cli.link_changes import LinkChange
from statefulroute.console.recent_changes import RecentChanges, kind_of
from statefulroute.domain.keys import RouteKey
from support.console import NOON


def change(before: str, after: str, reason: str = "Bound", route: str = "game") -> LinkChange:
    """A change of alice's link."""
    return LinkChange(namespace="play", route=route, subject="alice", before=before, after=after, reason=reason)


def test_kinds_of_changes() -> None:
    changes = [
        change("-", "game-0"),
        change("game-0", "game-1"),
        change("game-1", "-"),
        change("game-0", "game-0", "HandingOver"),
        change("Ready", "Shutdown", "RoutingState"),
    ]
    assert [kind_of(each) for each in changes] == ["bound", "moved", "ended", "phase", "state"]


def test_a_browser_receives_the_changes_that_it_has_not_seen() -> None:
    recent = RecentChanges()
    for number in range(5):
        recent.add(change("-", f"game-{number}", route="game" if number % 2 else "chat"), NOON)
    assert [each.number for each in recent.since(2)] == [3, 4, 5]
    assert [each.number for each in recent.since(0, RouteKey("play", "game"))] == [2, 4]
    assert [each.number for each in recent.of_route(RouteKey("play", "chat"))] == [5, 3, 1]
    assert recent.since(5) == []


def test_memory_is_bounded() -> None:
    recent = RecentChanges()
    for number in range(3_000):
        recent.add(change("-", "game-0", route=f"game-{number}"), NOON)
    for _ in range(100):
        recent.add(change("-", "game-0", route="busy"), NOON)
    assert len(recent.since(0)) == 2_000
    assert recent.of_route(RouteKey("play", "game-0")) == []
    assert len(recent.of_route(RouteKey("play", "busy"))) == 60


def test_rates_are_those_of_the_last_minute() -> None:
    recent, key = RecentChanges(), RouteKey("play", "game")
    recent.add(change("-", "game-0"), NOON)
    recent.add(change("game-0", "game-1"), NOON + timedelta(seconds=30))
    recent.add(change("-", "chat-0", route="chat"), NOON + timedelta(seconds=30))
    assert recent.rates(NOON + timedelta(seconds=59)) == {"bound": 2, "moved": 1, "ended": 0}
    assert recent.rates(NOON + timedelta(seconds=59), key) == {"bound": 1, "moved": 1, "ended": 0}
    assert recent.rates(NOON + timedelta(seconds=61), key) == {"bound": 0, "moved": 1, "ended": 0}
    assert recent.rates(NOON + timedelta(seconds=99)) == {"bound": 0, "moved": 0, "ended": 0}
