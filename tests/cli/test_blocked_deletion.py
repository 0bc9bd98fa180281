"""A route that is deleted while no operator runs waits for the operator's finalizer, and every command shows it."""

import json

from support.command import Command
from support.independent_client import StatefulRoute
from support.operator_process import OperatorProcess
from support.service import Service
from support.waiting import eventually


def test_commands_show_a_deletion_that_waits_for_an_operator(
    statefulroute: Command, game: Service, operator: OperatorProcess
) -> None:
    game.await_bound(game.link("alice"))
    operator.stop()
    game.kubectl.run("delete", "statefulroute", "game", "--wait=false").expect_success()
    assert state_of(statefulroute) == "Deleting"
    eventually(lambda: state_of(statefulroute) == "DeletionBlocked", "the operator has had its time", poll_seconds=2.0)

    report = json.loads(statefulroute.run_quickly("check", "--output=json").stdout)
    (found,) = (each for each in report["findings"] if "finalizer" in each["message"])
    assert (found["check"], found["level"], found["example"]) == ("routes", "problem", f"{game.namespace}/game")
    assert found["remedy"].endswith(f"statefulroute release --namespace {game.namespace}")
    where = statefulroute.run_quickly("whereis", "alice").expect_success()
    assert where.stderr == (
        f"note: {game.namespace}/game is deleted, and waits for an operator to remove its finalizer\n"
    )

    operator.start()
    eventually(lambda: not game.exists(StatefulRoute, "game"), "the operator ends the deletion")
    report = json.loads(statefulroute.run_quickly("check", "--output=json").stdout)
    assert not [each for each in report["findings"] if "finalizer" in each["message"]]


def state_of(command: Command) -> str:
    """Returns the state of the route in the table of `routes`."""
    (line,) = command.run_quickly("routes", "--no-headers").expect_success().stdout.splitlines()
    return line.split()[1]
