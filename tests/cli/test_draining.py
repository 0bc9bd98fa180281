"""`drain`, `undrain` and `set-state`, as somebody types them."""

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
def _as_found(game: Service) -> Iterator[None]:
    """Each test leaves the route as it found it."""
    yield
    game.edit_route(routingState="Ready", pods=None, namedPods=None)
    game.client.delete_all(PodLink, game.namespace)
    game.await_observed()
    eventually(lambda: not game.links(), "no link is left")
    game.await_status(links=0)


def users_on(game: Service, pod: int, number: int) -> list[str]:
    """New users of a pod, whom the operator has counted; gives the names of their links."""
    names = [game.link(f"user-{next(_numbers)}", podIndex=pod) for _ in range(number)]
    game.await_pod(pod, links=number)
    return names


def said(command: Command, *arguments: str) -> str:
    """What a command says, once it has ended well."""
    result = command.run_quickly(*arguments)
    assert (result.code, result.stderr) == (0, ""), result
    return result.stdout.removesuffix("\n")


def test_a_pod_is_drained_and_waited_for_through_kubectl(statefulroute: Command, game: Service) -> None:
    names = users_on(game, 1, 3)
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


def test_each_drain_keeps_the_words_on_the_other_pods(statefulroute: Command, game: Service) -> None:
    game.edit_route(pods=[{"index": 7, "routingState": "Shutdown"}], namedPods=[{"name": "x", "routingState": "Ready"}])
    assert said(statefulroute, "drain", "game", "1") == "game-1: DenyNewCall"
    assert said(statefulroute, "drain", "game", "game-1") == "game-1: DenyNewCall already"
    assert said(statefulroute, "drain", "game", "0", "--shutdown") == "game-0: Shutdown"
    assert game.route()["spec"]["pods"] == [
        {"index": 7, "routingState": "Shutdown"},
        {"index": 1, "routingState": "DenyNewCall"},
        {"index": 0, "routingState": "Shutdown"},
    ]
    assert said(statefulroute, "undrain", "game", "1") == "game-1: takes users again (was DenyNewCall)"
    assert said(statefulroute, "drain", "game", "0") == "game-0: DenyNewCall (was Shutdown)"
    spec = game.route()["spec"]
    assert spec["pods"] == [{"index": 7, "routingState": "Shutdown"}, {"index": 0, "routingState": "DenyNewCall"}]
    assert spec["namedPods"] == [{"name": "x", "routingState": "Ready"}]


def test_an_undrain_takes_back_every_word_of_the_route_on_the_pod(statefulroute: Command, game: Service) -> None:
    game.edit_route(namedPods=[{"name": "game-2", "routingState": "DenyNewCall"}])
    assert said(statefulroute, "undrain", "game", "2") == "game-2: takes users again (was DenyNewCall)"
    assert game.route()["spec"].get("namedPods", []) == []
    assert said(statefulroute, "undrain", "game", "2") == "game-2: was not drained by game"


def test_an_undrain_tells_that_somebody_else_has_drained_the_pod(statefulroute: Command, game: Service) -> None:
    game.annotate(2, {"statefulroute.io/routing-state": "DenyNewCall"})
    try:
        game.await_pod(2, routingState="DenyNewCall")
        result = statefulroute.run_quickly("undrain", "game", "2")
        assert result.stdout == "game-2: was not drained by game\n"
        assert result.stderr.startswith("note: it is DenyNewCall for another reason: ")
    finally:
        game.annotate(2, {"statefulroute.io/routing-state": None})
        game.await_pod(2, routingState="Ready")


def test_users_that_remain_at_the_end_of_the_time_are_told_of(statefulroute: Command, game: Service) -> None:
    users_on(game, 0, 2)
    result = statefulroute.run_quickly("drain", "game", "0", "--wait", "--timeout", "1.5")
    assert (result.code, result.stdout) == (1, "game-0: DenyNewCall\ngame-0: 2 users remain\n")
    assert result.stderr == "error: game-0: 2 users remain after 1.5 s; the drain continues\n"
    assert said(statefulroute, "drain", "game", "0") == "game-0: DenyNewCall already, 2 users remain"


def test_ctrl_c_leaves_the_drain_going_and_says_so(statefulroute: Command, game: Service) -> None:
    users_on(game, 1, 1)
    draining = statefulroute.launch("drain", "game", "1", "--wait")
    assert draining.stdout is not None
    assert [draining.stdout.readline() for _ in range(2)] == ["game-1: DenyNewCall\n", "game-1: 1 user remains\n"]
    draining.send_signal(signal.SIGINT)
    _, errors = draining.communicate(timeout=20)
    assert draining.returncode == 130
    goes_on = "the drain continues (revert it: statefulroute undrain game game-1)"
    assert errors == f"game-1: 1 user remains; {goes_on}\n"
    assert game.route()["spec"]["pods"] == [{"index": 1, "routingState": "DenyNewCall"}]


def test_on_a_terminal_a_bar_counts_the_users_that_remain(statefulroute: Command, game: Service) -> None:
    names = users_on(game, 2, 2)
    leader, follower = pty.openpty()
    draining = statefulroute.launch("drain", "game", "2", "--wait", stdout=follower, stderr=follower)
    os.close(follower)
    with os.fdopen(leader, "rb", buffering=0) as screen:
        shown = _until(screen, "2 users remain")
        game.client.delete(PodLink, names[0], game.namespace)
        shown += _until(screen, "1 user remains")
        game.client.delete(PodLink, names[1], game.namespace)
        shown += _until(screen, "no user remains")
    assert draining.wait(20) == 0
    assert "█" in shown
    assert "\r" in shown


def _until(screen: IO[bytes], text: str) -> str:
    """What a terminal shows until this text is there."""
    shown = b""
    while text not in shown.decode(errors="ignore"):
        shown += screen.read(4096)
    return shown.decode(errors="ignore")


def test_a_service_is_told_whom_it_takes(statefulroute: Command, game: Service) -> None:
    assert said(statefulroute, "set-state", "game", "DenyNewCall") == "game: DenyNewCall (was Ready)"
    assert game.route()["spec"]["routingState"] == "DenyNewCall"
    assert said(statefulroute, "set-state", "game", "DenyNewCall") == "game: DenyNewCall already"
    assert said(statefulroute, "set-state", "game", "Ready") == "game: Ready (was DenyNewCall)"
    assert statefulroute.run_quickly("set-state", "game", "Closed").code == 2


def test_a_dry_run_drains_nothing(statefulroute: Command, game: Service) -> None:
    before = game.route()["spec"]
    dry = "--dry-run=server"
    assert said(statefulroute, "drain", "game", "1", "--wait", dry) == "game-1: DenyNewCall (server dry run)"
    assert said(statefulroute, "undrain", "game", "1", dry) == "game-1: was not drained by game (server dry run)"
    assert said(statefulroute, "set-state", "game", "Shutdown", dry) == "game: Shutdown (was Ready) (server dry run)"
    assert game.route()["spec"] == before


def test_pods_without_an_index_are_drained_by_their_names(statefulroute: Command, game: Service) -> None:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"}
    game.create_route("chat", workloadRef=reference)
    assert statefulroute.run_quickly("drain", "chat", "chat-abc").stdout == "chat-abc: DenyNewCall\n"
    assert game.route("chat")["spec"]["namedPods"] == [{"name": "chat-abc", "routingState": "DenyNewCall"}]
    assert said(statefulroute, "undrain", "chat", "chat-abc") == "chat-abc: takes users again (was DenyNewCall)"
