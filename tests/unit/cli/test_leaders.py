"""Which Leases show that two operators lead in the same namespaces."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from statefulroute.cli.checks.leaders import find_overlapping_leaders
from statefulroute.cli.checks.results import Level

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def lease(
    namespace: str, served: str | None = "*", holder: str = "someone", age: float = 2.0, stored_age: float | None = None
) -> dict[str, Any]:
    """A Lease that was renewed some seconds ago by the clock of its holder, and by that of the API server."""
    return {
        "metadata": {
            "namespace": namespace,
            "name": "operator",
            **({} if served is None else {"annotations": {"statefulroute.io/served-namespaces": served}}),
            **({} if stored_age is None else {"managedFields": [*managed_fields(stored_age)]}),
        },
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": 15,
            "renewTime": (NOON - timedelta(seconds=age)).isoformat(),
        },
    }


def managed_fields(age: float) -> Iterator[dict[str, Any]]:
    """The times of the API server: of a renewal some seconds ago, and of a label that somebody has just added."""
    for fields, seconds in (({"f:spec": {"f:renewTime": {}}}, age), ({"f:metadata": {"f:labels": {}}}, 0.0)):
        time = (NOON - timedelta(seconds=seconds)).replace(microsecond=0)
        yield {"manager": "someone", "operation": "Update", "time": time.isoformat(), "fieldsV1": fields}


@pytest.mark.parametrize(
    ("first", "second", "level"),
    [
        (lease("a"), lease("b"), Level.PROBLEM),
        (lease("a"), lease("b", "games"), Level.PROBLEM),
        (lease("a", "chats,games"), lease("b", "games,rooms"), Level.PROBLEM),
        (lease("a", "chats"), lease("b", "games"), Level.OK),
        (lease("a", None), lease("b", "games"), Level.NOTICE),
        (lease("a", None), lease("b", None), Level.NOTICE),
        (lease("a"), lease("b", age=15.5), Level.OK),
        (lease("a"), lease("b", age=3600, stored_age=3), Level.PROBLEM),
        (lease("a"), lease("b", age=-3600, stored_age=3), Level.PROBLEM),
        (lease("a"), lease("b", age=-3600, stored_age=600), Level.OK),
        (lease("a"), lease("b", holder=""), Level.OK),
        (lease("a"), {"metadata": {"namespace": "b", "name": "operator"}}, Level.OK),
    ],
    ids=[
        "whole cluster",
        "whole cluster and some",
        "some in common",
        "different",
        "one unknown",
        "both unknown",
        "expired",
        "of a clock that is behind",
        "of a clock that is ahead",
        "expired, of a clock that is ahead",
        "released",
        "never held",
    ],
)
def test_two_held_leases_of_the_same_namespaces_are_a_problem(
    first: dict[str, Any], second: dict[str, Any], level: Level
) -> None:
    (result,) = find_overlapping_leaders([second, first], NOON)
    assert (result.check, result.level) == ("leaders", level)
    if level is not Level.OK:
        assert "someone by the Lease a/operator and someone by the Lease b/operator" in result.message
        assert result.fix


@pytest.mark.parametrize(
    ("leases", "message"),
    [
        ([], "no operator holds a Lease"),
        ([lease("a")], "one operator leads: someone by the Lease a/operator"),
        ([lease("a", "x"), lease("b", "y")], "2 operators lead, each in its own namespaces"),
    ],
)
def test_message_without_a_problem_names_the_leader(leases: list[dict[str, Any]], message: str) -> None:
    (result,) = find_overlapping_leaders(leases, NOON)
    assert (result.level, result.message) == (Level.OK, message)


def test_each_pair_of_three_leaders_is_reported() -> None:
    results = list(find_overlapping_leaders([lease("a"), lease("b"), lease("c")], NOON))
    assert [(result.level, result.example) for result in results] == [
        (Level.PROBLEM, "b/operator"),
        (Level.PROBLEM, "c/operator"),
        (Level.PROBLEM, "c/operator"),
    ]
