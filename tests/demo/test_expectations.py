"""The demo's verdict: a world that is not as expected is told in one sentence."""

from typing import Any

import pytest

from demo.expectations import EXPECTATIONS
from demo.snapshot import Snapshot, snapshot_of


def ready(status: str, reason: str, message: str) -> dict[str, str]:
    return {"type": "Ready", "status": status, "reason": reason, "message": message}


def route(**status: Any) -> dict[str, Any]:
    """The route as it must be, but for what is given."""
    good = {
        "routablePods": 3,
        "links": 3,
        "pods": [{"index": index, "name": f"game-{index}"} for index in range(3)],
        "conditions": [ready("True", "Routable", "3 of 3 pods serve users")],
    }
    return {"kind": "StatefulRoute", "metadata": {"name": "game"}, "spec": {}, "status": good | status}


def link(name: str, pod: int | None, **status: Any) -> dict[str, Any]:
    """A bound link, but for what is given."""
    spec = {"uid": name.removeprefix("game.")} | ({} if pod is None else {"podIndex": pod})
    good = {"phase": "Bound", "podName": f"game-{pod}", "conditions": [ready("True", "Bound", "bound")]}
    return {"kind": "PodLink", "metadata": {"name": name}, "spec": spec, "status": good | status}


ALICE, BOB = link("game.alice", 2), link("game.bob", 0)
GUEST = link("game.x-47756573742037", 1, expireTime="2026-01-01T00:05:00Z")
MALLORY = link("game.mallory", 0)
WAITING = {"phase": "Pending", "conditions": [ready("False", "NoAvailablePod", "no pod takes new users now")]}


def complaints(world: Snapshot) -> list[str]:
    return [said for expected in EXPECTATIONS if (said := expected.check(world)) is not None]


def test_the_world_as_it_must_be_gives_no_complaint() -> None:
    assert complaints(snapshot_of([route(), ALICE, BOB, GUEST])) == []


@pytest.mark.parametrize(
    ("items", "complaint"),
    [
        ([route(links=2), ALICE, BOB, GUEST], "StatefulRoute game counts 2 links instead of 3."),
        (
            [
                route(routablePods=2, conditions=[ready("True", "Routable", "2 of 3 pods serve users")]),
                ALICE,
                BOB,
                GUEST,
            ],
            "StatefulRoute game has 2 routable pods instead of 3; it says Routable: 2 of 3 pods serve users.",
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
def test_what_is_not_as_expected_is_told_in_one_sentence(items: list[dict[str, Any]], complaint: str) -> None:
    assert complaints(snapshot_of(items)) == [complaint]


def test_without_the_route_it_is_missed() -> None:
    assert complaints(snapshot_of([ALICE, BOB, GUEST]))[0] == "StatefulRoute game does not exist in namespace play."
