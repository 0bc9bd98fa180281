"""Tests each rule with a record that keeps it and records that violate it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from disruptions.record import Record, Request
from disruptions.rules import RULES, check
from support.link_recorder import Version

START = datetime(2026, 1, 1, tzinfo=UTC)

#: The deadline is ten seconds after it.
SINCE = {"since": "2026-01-01T00:00:00Z"}
MOVED, ENDED, USERS, SHOWN, NUMBER, ANSWER, FAILED, EMPTY = (rule.__name__.replace("_", " ") for rule in RULES)


def version(event: str, revision: int, name: str, spec: Any = None, **fields: Any) -> Version:
    """Returns a version of an object, which arrived as many seconds after the start as its revision."""
    own = {"name": name, "resourceVersion": str(revision), "uid": name, "creationTimestamp": "2026-01-01T00:00:10Z"}
    metadata = {**own, **fields.pop("metadata", {})}
    return Version(event, {"metadata": metadata, "spec": spec or {}, **fields}, float(revision))


def link(revision: int, pod: int | None = 1, event: str = "MODIFIED", **status: Any) -> Version:
    """Returns a version of alice's link."""
    spec = {} if pod is None else {"podIndex": pod}
    return version(event, revision, "game.alice", spec, status={"phase": "Bound", **status})


def route(revision: int, *closing: int, reason: str = "ScaleDown") -> Version:
    """Returns a version of the route with closing pods."""
    pods = [{"name": f"game-{pod}", "closing": {"reason": reason, **SINCE}} for pod in closing]
    return version("MODIFIED", revision, "game", {"disruption": {"deadlineSeconds": 10}}, status={"pods": pods})


def workload(revision: int, replicas: int) -> Version:
    """Returns a version of the StatefulSet."""
    return version("MODIFIED", revision, "game", {"replicas": replicas})


def deployment(revision: int, replicas: int) -> Version:
    """Returns a version of a Deployment."""
    return version("MODIFIED", revision, "game", {"replicas": replicas}, kind="Deployment")


def pod(revision: int, *, is_ending: bool = False) -> Version:
    """Returns a version of pod 1."""
    metadata = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if is_ending else {}
    return version("MODIFIED", revision, "game-1", metadata=metadata)


def moved(seconds: int, cause: str = "DeadlineOver") -> list[Version]:
    """Returns the versions of a link that moves from pod 1 to pod 0."""
    previous = {"time": f"2026-01-01T00:00:{seconds:02}Z", "cause": cause}
    return [link(10), link(45, 0), link(46, 0, previous=previous), link(90, 0, "DELETED")]


#: The first version of a link that expires after 30 seconds.
EXPIRING = version("ADDED", 10, "game.alice", {"ttlSeconds": 30, "podIndex": 1}, status={"phase": "Bound"})

#: Alice is linked to pod 1 and leaves; the pod closes, is removed by a scale-down, and comes back.
GOOD = Record(
    links={"game.alice": [link(10, None, "ADDED"), link(11), link(40, 1, "DELETED")]},
    pods={"game-1": [pod(5), pod(60, is_ending=True)]},
    workload=[workload(1, 2), workload(50, 1), workload(70, 2)],
    route=[route(2), route(30, 1), route(65)],
    requests=[Request("game.alice", 20.0, 21.0, answered_by="game-1")],
    left={"game.alice": 39.0},
    clock_offset=START.timestamp(),
)


def test_a_good_record_keeps_all_rules() -> None:
    assert check(GOOD) == []
    at_the_deadline = replace(GOOD, links={"game.alice": moved(10)}, left={"game.alice": 89.0})
    assert check(at_the_deadline) == []
    assert check(replace(GOOD, links={"game.alice": [EXPIRING, link(40, 1, "DELETED")]}, left={})) == []
    unlinked = Request("game.alice", 38.0, 41.0, error="the look-up got 404")
    assert check(replace(GOOD, requests=[*GOOD.requests, unlinked])) == []
    late = {"game.alice": [EXPIRING, link(50, 1, "DELETED")]}  # it expires at 40
    unlinked = Request("game.alice", 42.0, 43.0, error="the look-up got 404")
    found = check(replace(GOOD, links=late, requests=[*GOOD.requests, unlinked], left={}))
    assert [each for each in found if FAILED in each] == []
    evicted = replace(GOOD, workload=[workload(1, 2)], route=[route(30, 1, reason="Rollout")])
    assert check(evicted) == []
    scaled = replace(GOOD, workload=[workload(1, 2), deployment(50, 1)], route=[route(30, 1), route(55)])
    assert check(scaled) == []


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        (MOVED, {"links": {"game.alice": moved(9)}}),
        (MOVED, {"links": {"game.alice": moved(10, "Deleted")}}),
        (MOVED, {"links": {"game.alice": moved(10)}, "route": [route(2), route(47, 1)]}),
        (ENDED, {"left": {}}),
        (ENDED, {"links": {"game.alice": [EXPIRING, link(39, 1, "DELETED")]}, "left": {}}),
        (USERS, {"links": {"game.alice": [link(11), link(51, 1, "DELETED")]}}),
        (USERS, {"links": {"game.alice": [link(11)]}}),
        (SHOWN, {"route": [route(2), route(50, 1)]}),
        (SHOWN, {"route": [route(2)]}),
        (SHOWN, {"workload": [workload(1, 2)], "route": [route(30, 1), route(59)]}),
        (SHOWN, {"workload": [deployment(1, 2), deployment(50, 1)], "route": [route(51, 1), route(55)]}),
        (NUMBER, {"route": [route(30, 1), route(31, 1, 2, reason="Rollout")]}),
        (ANSWER, {"requests": [Request("game.alice", 20.0, 21.0, answered_by="game-0")]}),
        (ANSWER, {"requests": [Request("game.alice", 44.0, 45.0, answered_by="game-0")]}),
        (
            FAILED,
            {"links": {"game.alice": [EXPIRING]}, "requests": [Request("game.alice", 20.0, 21.0, error="refused")]},
        ),
        (FAILED, {"requests": [*GOOD.requests, Request("game.alice", 20.0, 21.0, error="refused")]}),
        (EMPTY, {"requests": []}),
        (EMPTY, {"pods": {}}),
    ],
)
def test_a_violation_is_found(rule: str, changes: dict[str, Any]) -> None:
    found = {message.partition(":")[0] for message in check(replace(GOOD, **changes))}
    assert rule in found
