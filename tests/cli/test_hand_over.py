"""`move --hand-over` and what the other commands show of hand-overs, with the operator; the tests play the drivers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen
from typing import Any

import pytest

from support.command import Command
from support.independent_client import PodLink
from support.kubectl import Kubectl
from support.service import Service
from support.waiting import eventually

#: Longer than a test waits, and short enough for the tests of time-outs.
LONG_SECONDS, SHORT_SECONDS = 600, 1


@pytest.fixture(autouse=True)
def _hand_overs(game: Service) -> Iterator[None]:
    """Lets the route hand users over, and removes that and all links after each test."""
    game.edit_route(handOver={"timeoutSeconds": LONG_SECONDS})
    game.await_observed()
    yield
    game.edit_route(handOver=None, pods=None, onPodLost=None)
    game.client.delete_all(PodLink, game.namespace)
    game.await_observed()
    eventually(lambda: not game.links(), "no link is left")
    game.await_status(links=0)


def bound(game: Service, uid: str, pod: int = 0, **spec: Any) -> str:
    """Binds a user to a pod; returns the name of the link."""
    name = game.link(uid, podIndex=pod, **spec)
    game.await_bound(name)
    return name


def commit(game: Service, name: str) -> None:
    """Commits the hand-over of a link, as the driver of the old pod does."""
    link = game.get(name)
    body = {
        "metadata": {"resourceVersion": link["metadata"]["resourceVersion"]},
        "spec": {"podIndex": link["spec"]["handOver"]["podIndex"], "handOver": None},
    }
    game.client.patch(PodLink, name, game.namespace, body)


@contextmanager
def waiting(command: Command, game: Service, name: str, *arguments: str) -> Iterator[Popen[str]]:
    """Runs a command that waits for the hand-over of a link, from when that is in progress."""
    process = command.launch(*arguments, "--wait", "--timeout", "60")
    try:
        game.await_link(name, "HandingOver", "HandingOver")
        yield process
    finally:
        process.kill()
        process.wait()


def test_user_is_handed_over_and_the_command_waits_for_it(statefulroute: Command, game: Service) -> None:
    name = bound(game, "alice", ttlSeconds=600)
    with waiting(statefulroute, game, name, "move", "game", "alice", "2", "--hand-over") as process:
        assert game.get(name)["spec"]["podIndex"] == 0
        commit(game, name)
        output, errors = process.communicate(timeout=30)
    lines = ["alice: game-0 hands over to game-2 (within 600 s)", "alice: game-2 (was game-0)"]
    assert (output.splitlines(), errors, process.returncode) == (lines, "", 0)
    status = game.await_bound(name)
    assert (status["previous"]["reason"], game.get(name)["spec"]["ttlSeconds"]) == ("HandedOver", 600)


def test_user_who_is_not_handed_over_in_time_is_moved_and_the_exit_code_is_1(
    statefulroute: Command, game: Service
) -> None:
    bound(game, "bob")
    game.edit_route(handOver={"timeoutSeconds": SHORT_SECONDS})
    result = statefulroute.run_quickly("move", "game", "bob", "1", "--hand-over", "--wait", "--timeout", "60")
    assert result.stdout == "bob: game-0 hands over to game-1 (within 1 s)\n"
    assert result.stderr == (
        "error: bob: game-1 (was game-0), after the time-out of 1 s: game-1 may not have the state of the user\n"
    )
    assert result.code == 1


def test_move_to_the_present_pod_cancels_a_hand_over(statefulroute: Command, game: Service) -> None:
    name = bound(game, "carol")
    with waiting(statefulroute, game, name, "move", "game", "carol", "2", "--hand-over") as process:
        refused = statefulroute.run_quickly("move", "game", "carol", "0", "--hand-over")
        assert (refused.code, refused.stdout) == (1, "")
        assert refused.stderr.startswith("error: carol is on game-0 already, which hands over to game-2: ")
        cancelled = statefulroute.run_quickly("move", "game", "carol", "0")
        assert cancelled.stdout == "carol: game-0 (stays; the hand-over to game-2 is cancelled)\n"
        _, errors = process.communicate(timeout=30)
    assert errors.startswith("error: carol: stays on game-0; the hand-over to game-2 was withdrawn")
    assert process.returncode == 1
    assert game.await_bound(name)["podName"] == "game-0"
    assert "handOver" not in game.get(name)["spec"]


def test_operator_withdraws_a_hand_over_to_a_pod_that_is_shut_down(statefulroute: Command, game: Service) -> None:
    name = bound(game, "dave")
    game.edit_route(onPodLost={"action": "Keep"})
    with waiting(statefulroute, game, name, "move", "game", "dave", "2", "--hand-over") as process:
        game.edit_route(pods=[{"index": 2, "routingState": "Shutdown"}])
        _, errors = process.communicate(timeout=30)
    reason = "(why: kubectl describe podlink game.dave)"
    assert errors == f"error: dave: stays on game-0; the hand-over to game-2 was withdrawn {reason}\n"
    (withdrawn,) = [each for each in game.events_of(name) if each[1] == "HandOverWithdrawn"]
    assert "game-2" in withdrawn[2]


def test_hand_over_is_refused_where_it_cannot_be(statefulroute: Command, game: Service) -> None:
    bound(game, "erin")
    messages = {
        ("erin", "0"): "erin is on game-0 already",
        ("erin", "9"): "game has no game-9 now, so no user can be handed over to it",
        ("nobody", "1"): "nobody has no link in game: statefulroute link game nobody 1",
    }
    for (uid, pod), message in messages.items():
        result = statefulroute.run_quickly("move", "game", uid, pod, "--hand-over")
        assert (result.code, result.stderr) == (1, f"error: {message}\n")
    game.edit_route(handOver=None)
    result = statefulroute.run_quickly("move", "game", "erin", "1", "--hand-over")
    assert result.code == 1
    assert result.stderr.startswith("error: game has no spec.handOver, so its users are moved at once: ")
    assert statefulroute.run_quickly("move", "game", "erin", "1", "--wait").code == 2


@pytest.mark.parametrize(
    ("option", "suffix"), [("--dry-run=server", " (server dry run)"), ("--dry-run=client", " (dry run)")]
)
def test_dry_run_asks_for_nothing(statefulroute: Command, game: Service, option: str, suffix: str) -> None:
    name = bound(game, f"frank{option[-6:]}")
    before = game.get(name)
    result = statefulroute.run_quickly("move", "game", before["spec"]["uid"], "1", "--hand-over", "--wait", option)
    assert result.stdout == f"{before['spec']['uid']}: game-0 hands over to game-1 (within 600 s){suffix}\n"
    assert game.get(name)["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_lists_show_a_hand_over_and_an_export_has_the_present_pod(
    statefulroute: Command, game: Service, namespaced_kubectl: Kubectl
) -> None:
    bound(game, "heidi", pod=1)
    name = bound(game, "grace")
    statefulroute.run_quickly("move", "game", "grace", "2", "--hand-over").expect_success()
    game.await_link(name, "HandingOver", "HandingOver")
    listed = statefulroute.run_quickly("links", "game", "--phase", "handingover").expect_success().stdout.splitlines()
    columns = ("ROUTE", "UID", "POD", "PHASE", "REASON", "AGE", "TO")
    assert tuple(listed[0].split()) == columns
    row = dict(zip(columns, listed[1].split(), strict=True))
    assert (row["UID"], row["POD"], row["PHASE"], row["TO"]) == ("grace", "game-0", "HandingOver", "game-2")
    found = statefulroute.run_quickly("whereis", "grace").expect_success().stdout.splitlines()
    assert (found[0].split()[-1], found[1].split()[-1]) == ("TO", "game-2")
    assert found[1].split()[2:4] == ["HandingOver", "Yes"]
    assert "TO" not in statefulroute.run_quickly("whereis", "heidi").expect_success().stdout.splitlines()[0].split()
    assert "HandingOver" in namespaced_kubectl.run("get", "podlinks").expect_success().stdout
    exported = statefulroute.run_quickly("export", "game").expect_success().stdout.splitlines()
    assert {"routeName": "game", "uid": "grace", "podIndex": 0} in map(json.loads, exported)
    check = statefulroute.run_quickly("check").stdout
    assert "2 of 2 are Bound" in check


def test_drain_waits_while_users_are_handed_over(statefulroute: Command, game: Service) -> None:
    names = [bound(game, f"guest-{number}", pod=1) for number in range(2)]
    game.await_pod(1, links=2)
    draining = statefulroute.launch("drain", "game", "1", "--shutdown", "--wait", "--timeout", "60")
    assert draining.stdout is not None
    assert draining.stdout.readline() == "game-1: Shutdown\n"
    while (line := draining.stdout.readline()) != "game-1: 2 users are handed over\n":
        assert line, "the command has ended"
    game.await_links(names, "HandingOver", "HandingOver")
    game.await_pod(1, handingOver=True, routingState="DenyNewCall")
    pods = statefulroute.run_quickly("pods", "game").expect_success().stdout.splitlines()
    assert pods[2].split()[:3] == ["game-1", "Ready", "HandingOver"]
    routes = statefulroute.run_quickly("routes").expect_success().stdout
    assert "1 Shutdown (2 links, handing over)" in routes
    commit(game, names[0])
    game.await_pod(1, links=1)
    commit(game, names[1])
    output, errors = draining.communicate(timeout=30)
    assert (output.splitlines()[-2:], errors, draining.returncode) == (
        ["game-1: 1 user is handed over", "game-1: no user remains"],
        "",
        0,
    )
    assert {game.await_bound(name)["previous"]["cause"] for name in names} == {"Shutdown"}


def test_drain_without_a_wait_shows_that_users_are_handed_over(statefulroute: Command, game: Service) -> None:
    bound(game, "ivan", pod=1)
    game.await_pod(1, links=1)
    result = statefulroute.run_quickly("drain", "game", "1", "--shutdown").expect_success()
    assert result.stdout == "game-1: Shutdown, 1 user is handed over\n"
