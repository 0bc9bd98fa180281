"""What `check` finds in hand-overs."""

from datetime import UTC, datetime
from typing import Any

import pytest

from statefulroute.cli.checks.hand_overs import HandOvers, check_hand_over_settings
from statefulroute.cli.checks.results import Level
from statefulroute.cli.cluster import Object

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def route(**spec: Any) -> Object:
    return {"metadata": {"namespace": "play", "name": "game"}, "spec": spec}


def link(start_time: str | None, name: str = "game.alice") -> Object:
    hand_over = {} if start_time is None else {"handOver": {"podIndex": 1, "startTime": start_time}}
    return {"metadata": {"namespace": "play", "name": name}, "spec": {"routeName": "game", "podIndex": 0, **hand_over}}


@pytest.mark.parametrize(
    ("spec", "limit"),
    [({"handOver": {"timeoutSeconds": 60}}, "the time-out is 60 s"), ({}, "its route has no handOver")],
)
def test_hand_overs_that_last_too_long_are_one_problem_with_an_example(spec: dict[str, Any], limit: str) -> None:
    hand_overs = HandOvers()
    hand_overs.record_route(route(**spec))
    for start, name in (("11:58:29", "game.a"), ("11:58:00", "game.b"), ("11:59:31", "game.c")):
        hand_overs.record(link(f"2026-01-01T{start}Z", name), NOON)
    hand_overs.record(link(None), NOON)
    (result,) = hand_overs.results()
    assert (result.check, result.level, result.count, result.example) == ("links", Level.PROBLEM, 2, "play/game.a")
    assert result.message == (
        f"2 links are being handed over for too long, for example play/game.a: {limit}, and the operator has not moved "
        "it"
    )


def test_hand_over_of_a_missing_route_or_with_an_invalid_time_is_not_counted() -> None:
    hand_overs = HandOvers()
    hand_overs.record(link("2026-01-01T00:00:00Z"), NOON)
    hand_overs.record_route(route(handOver={}))
    hand_overs.record(link("yesterday"), NOON)
    assert [*hand_overs.results()] == []


@pytest.mark.parametrize(
    ("spec", "has_notice"),
    [
        ({}, False),
        ({"onPodLost": {"action": "Keep"}}, False),
        ({"handOver": {}}, False),
        ({"handOver": {}, "onPodLost": {"action": "Rebind"}}, False),
        ({"handOver": {}, "onPodLost": {"action": "Keep"}}, True),
        ({"handOver": {}, "onPodLost": {"action": "Release"}}, True),
    ],
)
def test_route_whose_closing_pods_hand_over_no_users_is_a_notice(spec: dict[str, Any], *, has_notice: bool) -> None:
    results = [*check_hand_over_settings(route(**spec))]
    assert [(each.check, each.level) for each in results] == ([("routes", Level.NOTICE)] if has_notice else [])
