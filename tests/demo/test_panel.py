"""Tests the route's panel: every state, on every width and in every encoding."""

import io
from typing import Any

import pytest
from rich.console import Console

from demo.panel import marks_for, panel, plain_lines
from demo.snapshot import Snapshot, snapshot_of

ROUTE: dict[str, Any] = {
    "kind": "StatefulRoute",
    "metadata": {"name": "game"},
    "status": {
        "bestPodIndex": 1,
        "conditions": [{"type": "Ready", "status": "True", "reason": "Routable", "message": "2 of 3 pods serve users"}],
        "pods": [
            {"index": 0, "name": "game-0", "serviceState": "Ready", "routingState": "DenyNewCall", "links": 1},
            {"index": 1, "name": "game-1", "serviceState": "Ready", "routingState": "Ready", "links": 0},
            {"index": 2, "name": "game-2", "serviceState": "Pending", "routingState": "Ready", "links": 0},
        ],
    },
}
ALICE: dict[str, Any] = {
    "kind": "PodLink",
    "metadata": {"name": "game.alice"},
    "spec": {"uid": "alice", "podIndex": 0},
    "status": {"phase": "Bound", "podName": "game-0", "expireTime": "2026-01-01T00:05:00Z"},
}
BOB: dict[str, Any] = {
    "kind": "PodLink",
    "metadata": {"name": "game.bob"},
    "spec": {"uid": "bob", "podIndex": 2},
    "status": {
        "phase": "Pending",
        "conditions": [{"type": "Ready", "status": "False", "reason": "PodNotRoutable", "message": "not ready"}],
    },
}


def rendered(snapshot: Snapshot, *, width: int = 90, encoding: str = "utf-8") -> list[str]:
    buffer = io.BytesIO()
    console = Console(file=io.TextIOWrapper(buffer, encoding=encoding, write_through=True), width=width)
    console.print(panel(snapshot, marks_for(console), console.width))
    return buffer.getvalue().decode(encoding).splitlines()


def test_pods_are_rows_and_links_are_bars() -> None:
    text = "\n".join(rendered(snapshot_of([ROUTE, ALICE, BOB])))
    assert "● Ready  2 of 3 pods serve users, the next user goes to game-1" in text
    rows = [" ".join(line.strip("│ ").split()) for line in text.splitlines()]
    assert "game-0 Ready its own users 1 █ alice (until 00:05:00Z)" in rows
    assert "game-2 Pending all users 0" in rows
    assert "bob is on no pod: Pending, PodNotRoutable, spec.podIndex 2" in rows


def test_missing_route_is_shown_as_missing() -> None:
    assert "does not exist: its links wait" in "\n".join(rendered(snapshot_of([BOB])))


def test_renders_in_an_encoding_without_box_characters() -> None:
    assert any("game-0" in line and "#" in line for line in rendered(snapshot_of([ROUTE, ALICE]), encoding="ascii"))


@pytest.mark.parametrize("width", [30, 60, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert all(len(line) < width for line in rendered(snapshot_of([ROUTE, ALICE, BOB]), width=width))


def test_renders_lines_without_a_terminal() -> None:
    assert plain_lines(snapshot_of([ROUTE, ALICE, BOB])) == [
        "route game: Ready=True 2 of 3 pods serve users",
        "pod game-0: Ready, accepts its own users, 1 link: alice (until 00:05:00Z)",
        "pod game-1: Ready, accepts all users, 0 links",
        "pod game-2: Pending, accepts all users, 0 links",
    ]
    assert plain_lines(snapshot_of([])) == ["route game: does not exist"]
