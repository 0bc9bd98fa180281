"""The rules of a link, for one that was stored without its kind's own."""

from typing import Any

import pytest

from statefulroute.domain.link import find_violation

RIGHT = {"route_name": "game", "uid": "alice", "pod_index": None, "pod_name": None, "ttl_seconds": None}
LABEL = "routeName must be a DNS label (lower-case letters, digits and '-', at most 63 characters): "


def broken(name: str = "game.alice", **fields: Any) -> str | None:
    return find_violation(name, **{**RIGHT, "renew_time": None, **fields})


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("game.alice", {}),
        ("game.a.b", {"uid": "a.b"}),
        ("game.x-47", {"uid": "G"}),
        ("game.alice", {"pod_index": 0, "ttl_seconds": 1, "renew_time": "2026-01-01T00:00:00Z"}),
        ("game.alice", {"pod_name": "game-x2"}),
    ],
)
def test_what_breaks_none_is_right(name: str, fields: dict[str, Any]) -> None:
    assert broken(name, **fields) is None


@pytest.mark.parametrize(
    ("name", "fields", "sentence"),
    [
        ("game.bob", {}, "metadata.name must be game.alice"),
        ("a.b.alice", {"route_name": "a.b"}, f"{LABEL}it is the name of a StatefulRoute"),
        ("anything", {"uid": ""}, "uid must not be empty"),
        ("game.", {"uid": ""}, "uid must not be empty"),
        ("game.x-0a", {"uid": "\n"}, "uid must not hold control characters"),
        ("game.alice", {"pod_index": -1}, "podIndex must not be negative"),
        (
            "game.alice",
            {"pod_index": 1, "pod_name": "game-1"},
            "podIndex and podName exclude each other: name the pod by one of them",
        ),
        (
            "game.alice",
            {"pod_name": "Game"},
            "podName must be a pod's name: lower-case letters, digits, '-' and '.'",
        ),
        ("game.alice", {"ttl_seconds": 0}, "ttlSeconds must be at least 1"),
        (
            "game.alice",
            {"renew_time": "2026-01-01T00:00:00Z"},
            "renewTime needs ttlSeconds: a persistent link is not renewed",
        ),
    ],
)
def test_the_first_rule_that_is_broken_is_told(name: str, fields: dict[str, Any], sentence: str) -> None:
    assert broken(name, **fields) == sentence
