"""Tests the expectations of the demo: each unmet one gives one sentence."""

from typing import Any

import pytest

from demo.expectations import EXPECTATIONS
from demo.snapshot import Snapshot, snapshot_of


def ready(status: str, reason: str, message: str) -> dict[str, str]:
    return {"type": "Ready", "status": status, "reason": reason, "message": message}


def route(**status: Any) -> dict[str, Any]:
    """A route as expected, except for the given status fields."""
    expected_status = {
        "routablePods": 3,
        "links": 3,
        "pods": [{"index": index, "name": f"game-{index}"} for index in range(3)],
        "conditions": [ready("True", "Routable", "3 of 3 pods serve users")],
    }
    return {"kind": "StatefulRoute", "metadata": {"name": "game"}, "spec": {}, "status": expected_status | status}


def link(name: str, pod: int | None, **status: Any) -> dict[str, Any]:
    """A bound link, except for the given status fields."""
    spec = {"uid": name.removeprefix("game.")} | ({} if pod is None else {"podIndex": pod})
    expected_status = {"phase": "Bound", "podName": f"game-{pod}", "conditions": [ready("True", "Bound", "bound")]}
    return {"kind": "PodLink", "metadata": {"name": name}, "spec": spec, "status": expected_status | status}


ALICE, BOB = link("game.alice", 2), link("game.bob", 0)
GUEST = link("game.x-47756573742037", 1, expireTime="2026-01-01T00:05:00Z")
MALLORY = link("game.mallory", 0)
WAITING = {"phase": "Pending", "conditions": [ready("False", "NoAvailablePod", "no pod takes new users now")]}


def problems(snapshot: Snapshot) -> list[str]:
    return [problem for expectation in EXPECTATIONS if (problem := expectation.check(snapshot)) is not None]


def test_snapshot_as_expected_passes_all_checks() -> None:
    assert problems(snapshot_of([route(), ALICE, BOB, GUEST])) == []


@pytest.mark.parametrize(
    ("items", "problem"),
    [
        ([route(links=2), ALICE, BOB, GUEST], "StatefulRoute game counts 2 links instead of 3."),
        (
            [
                route(routablePods=2, conditions=[ready("True", "Routable", "2 of 3 pods serve users")]),
                ALICE,
                BOB,
                GUEST,
            ],
            "StatefulRoute game has 2 routable pods instead of 3; its status is Routable: 2 of 3 pods serve users.",
        ),
        ([route(), BOB, GUEST], "PodLink game.alice does not exist."),
        (
            [route(), link("game.alice", 1), BOB, GUEST],
            "PodLink game.alice is bound to game-1 instead of game-2.",
        ),
        (
            [route(), ALICE, link("game.bob", None, **WAITING), GUEST],
            "PodLink game.bob is not bound: it is Pending, no pod takes new users now.",
        ),
        (
            [route(), ALICE, link("game.bob", None, podName="game-0"), GUEST],
            "PodLink game.bob is bound, but the pod is not in its spec.",
        ),
        (
            [route(), ALICE, link("game.bob", 7), GUEST],
            "PodLink game.bob is bound to game-7 instead of a pod of the route.",
        ),
        (
            [route(), ALICE, BOB, link("game.x-47756573742037", 1)],
            "PodLink game.x-47756573742037 is bound, but has no expireTime.",
        ),
        (
            [route(), ALICE, BOB, GUEST, MALLORY],
            "PodLink game.mallory was stored though it names another namespace.",
        ),
    ],
)
def test_unmet_expectation_gives_one_sentence(items: list[dict[str, Any]], problem: str) -> None:
    assert problems(snapshot_of(items)) == [problem]


def test_missing_route_fails_first() -> None:
    assert problems(snapshot_of([ALICE, BOB, GUEST]))[0] == "StatefulRoute game does not exist in namespace play."
