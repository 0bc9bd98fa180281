"""`drain`, `undrain` and `set-state`."""

import os
import pty
import signal
from collections.abc import Iterator
from itertools import count
from typing import IO

import pytest

from support.command import Command
from support.independent_client import PodLink
from support.service import Service
from support.waiting import eventually

_numbers = count(1)


@pytest.fixture(autouse=True)
def _cleanup(game: Service) -> Iterator[None]:
    """Restore the route and delete all links after each test."""
    yield
    game.edit_route(routingState="Ready", pods=None, namedPods=None)
    game.client.delete_all(PodLink, game.namespace)
    game.await_observed()
    eventually(lambda: not game.links(), "no link is left")
    game.await_status(links=0)


def add_users(game: Service, pod: int, number: int) -> list[str]:
    """Add users to a pod, and wait until the operator has counted them; returns the names of their links."""
    names = [game.link(f"user-{next(_numbers)}", podIndex=pod) for _ in range(number)]
    game.await_pod(pod, links=number)
    return names


def output_of(command: Command, *arguments: str) -> str:
    """Returns the output of a command that must succeed."""
    result = command.run_quickly(*arguments)
    assert (result.code, result.stderr) == (0, ""), result
    return result.stdout.removesuffix("\n")


def test_drain_waits_until_no_user_remains(statefulroute: Command, game: Service) -> None:
    names = add_users(game, 1, 3)
    draining = statefulroute.launch("drain", "game", "game-1", "--wait", "--timeout", "60")
    assert draining.stdout is not None
    assert draining.stdout.readline() == "game-1: DenyNewCall\n"
    assert draining.stdout.readline() == "game-1: 3 users remain\n"
    for name in names:
        game.client.delete(PodLink, name, game.namespace)
    output, errors = draining.communicate(timeout=30)
    assert output.splitlines()[-1] == "game-1: no user remains"
    assert (draining.returncode, errors) == (0, "")
    assert game.pod_status(1)["routingState"] == "DenyNewCall"


def test_drain_keeps_the_states_of_other_pods(statefulroute: Command, game: Service) -> None:
    game.edit_route(pods=[{"index": 7, "routingState": "Shutdown"}], namedPods=[{"name": "x", "routingState": "Ready"}])
    assert output_of(statefulroute, "drain", "game", "1") == "game-1: DenyNewCall"
    assert output_of(statefulroute, "drain", "game", "game-1") == "game-1: DenyNewCall already"
    assert output_of(statefulroute, "drain", "game", "0", "--shutdown") == "game-0: Shutdown"
    assert game.route()["spec"]["pods"] == [
        {"index": 7, "routingState": "Shutdown"},
        {"index": 1, "routingState": "DenyNewCall"},
        {"index": 0, "routingState": "Shutdown"},
    ]
    assert output_of(statefulroute, "undrain", "game", "1") == "game-1: takes users again (was DenyNewCall)"
    assert output_of(statefulroute, "drain", "game", "0") == "game-0: DenyNewCall (was Shutdown)"
    spec = game.route()["spec"]
    assert spec["pods"] == [{"index": 7, "routingState": "Shutdown"}, {"index": 0, "routingState": "DenyNewCall"}]
    assert spec["namedPods"] == [{"name": "x", "routingState": "Ready"}]


def test_undrain_removes_every_state_of_the_pod_from_the_route(statefulroute: Command, game: Service) -> None:
    game.edit_route(namedPods=[{"name": "game-2", "routingState": "DenyNewCall"}])
    assert output_of(statefulroute, "undrain", "game", "2") == "game-2: takes users again (was DenyNewCall)"
    assert game.route()["spec"].get("namedPods", []) == []
    assert output_of(statefulroute, "undrain", "game", "2") == "game-2: was not drained by game"


def test_undrain_reports_a_pod_that_is_drained_for_another_reason(statefulroute: Command, game: Service) -> None:
    game.annotate(2, {"statefulroute.io/routing-state": "DenyNewCall"})
    try:
        game.await_pod(2, routingState="DenyNewCall")
        result = statefulroute.run_quickly("undrain", "game", "2")
        assert result.stdout == "game-2: was not drained by game\n"
        assert result.stderr.startswith("note: it is DenyNewCall for another reason: ")
    finally:
        game.annotate(2, {"statefulroute.io/routing-state": None})
        game.await_pod(2, routingState="Ready")


def test_drain_reports_the_users_that_remain_after_the_timeout(statefulroute: Command, game: Service) -> None:
    add_users(game, 0, 2)
    result = statefulroute.run_quickly("drain", "game", "0", "--wait", "--timeout", "1.5")
    assert (result.code, result.stdout) == (1, "game-0: DenyNewCall\ngame-0: 2 users remain\n")
    assert result.stderr == "error: game-0: 2 users remain after 1.5 s; the drain continues\n"
    assert output_of(statefulroute, "drain", "game", "0") == "game-0: DenyNewCall already, 2 users remain"


def test_drain_continues_after_ctrl_c(statefulroute: Command, game: Service) -> None:
    add_users(game, 1, 1)
    draining = statefulroute.launch("drain", "game", "1", "--wait")
    assert draining.stdout is not None
    assert [draining.stdout.readline() for _ in range(2)] == ["game-1: DenyNewCall\n", "game-1: 1 user remains\n"]
    draining.send_signal(signal.SIGINT)
    _, errors = draining.communicate(timeout=20)
    assert draining.returncode == 130
    note = "the drain continues (revert it: statefulroute undrain game game-1)"
    assert errors == f"game-1: 1 user remains; {note}\n"
    assert game.route()["spec"]["pods"] == [{"index": 1, "routingState": "DenyNewCall"}]


def test_drain_shows_a_bar_on_a_terminal(statefulroute: Command, game: Service) -> None:
    names = add_users(game, 2, 2)
    leader, follower = pty.openpty()
    draining = statefulroute.launch("drain", "game", "2", "--wait", stdout=follower, stderr=follower)
    os.close(follower)
    with os.fdopen(leader, "rb", buffering=0) as screen:
        shown = _read_until(screen, "2 users remain")
        game.client.delete(PodLink, names[0], game.namespace)
        shown += _read_until(screen, "1 user remains")
        game.client.delete(PodLink, names[1], game.namespace)
        shown += _read_until(screen, "no user remains")
    assert draining.wait(20) == 0
    assert "█" in shown
    assert "\r" in shown


def _read_until(screen: IO[bytes], text: str) -> str:
    """Returns what a terminal shows until this text appears."""
    shown = b""
    while text not in shown.decode(errors="ignore"):
        shown += screen.read(4096)
    return shown.decode(errors="ignore")


def test_set_state_changes_the_routing_state_of_a_service(statefulroute: Command, game: Service) -> None:
    assert output_of(statefulroute, "set-state", "game", "DenyNewCall") == "game: DenyNewCall (was Ready)"
    assert game.route()["spec"]["routingState"] == "DenyNewCall"
    assert output_of(statefulroute, "set-state", "game", "DenyNewCall") == "game: DenyNewCall already"
    assert output_of(statefulroute, "set-state", "game", "Ready") == "game: Ready (was DenyNewCall)"
    assert statefulroute.run_quickly("set-state", "game", "Closed").code == 2


@pytest.mark.parametrize(
    ("dry", "suffix"), [("--dry-run=server", "(server dry run)"), ("--dry-run=client", "(dry run)")]
)
def test_drain_with_dry_run_changes_nothing(statefulroute: Command, game: Service, dry: str, suffix: str) -> None:
    before = game.route()["spec"]
    assert output_of(statefulroute, "drain", "game", "1", "--wait", dry) == f"game-1: DenyNewCall {suffix}"
    assert output_of(statefulroute, "undrain", "game", "1", dry) == f"game-1: was not drained by game {suffix}"
    assert output_of(statefulroute, "set-state", "game", "Shutdown", dry) == f"game: Shutdown (was Ready) {suffix}"
    assert game.route()["spec"] == before


def test_drain_names_pods_without_an_index_by_name(statefulroute: Command, game: Service) -> None:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"}
    game.create_route("chat", workloadRef=reference)
    assert statefulroute.run_quickly("drain", "chat", "chat-abc").stdout == "chat-abc: DenyNewCall\n"
    assert game.route("chat")["spec"]["namedPods"] == [{"name": "chat-abc", "routingState": "DenyNewCall"}]
    assert output_of(statefulroute, "undrain", "chat", "chat-abc") == "chat-abc: takes users again (was DenyNewCall)"
