"""`rollout`: its status, a pause, and what the other commands show of it."""

import json
from typing import Any

import pytest
from pykube.objects import StatefulSet

from support.command import Command
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.operator_process import OperatorProcess
from support.service import Service
from support.terminal import TerminalSession


@pytest.fixture(scope="module")
def game(operator: OperatorProcess, namespaced_kubectl: Kubectl, independent_client: IndependentClient) -> Service:
    """A service of two pods that its route replaces."""
    del operator  # it must run
    service = Service(namespaced_kubectl, independent_client)
    service.create_pods(2, updateStrategy={"type": "OnDelete"})
    deadline = {"deadlineSeconds": 360_000, "protect": False}  # its remaining time reads the same for an hour
    service.create_route(rollout={}, disruption=deadline, statePeriodSeconds=1)
    service.await_pods(2)
    service.await_condition("RolledOut", "True")
    return service


def change_template(game: Service, version: str) -> None:
    """Changes the template of the pods."""
    template = {"metadata": {"annotations": {"example.com/version": version}}}
    game.client.patch(StatefulSet, "game", game.namespace, {"spec": {"template": template}})


def findings(command: Command) -> list[dict[str, Any]]:
    """Returns what `check` finds in routes, except that no pod reports a load."""
    report = json.loads(command.run_quickly("check", "--output=json").stdout)
    found = [each for each in report["findings"] if each["check"] == "routes" and each["level"] != "ok"]
    return [each for each in found if "RolledOut" in each["message"]]


def test_status_follows_a_rollout_that_is_paused_and_resumed(statefulroute: Command, game: Service) -> None:
    result = statefulroute.run_quickly("rollout", "status", "game").expect_success()
    assert result.stdout.startswith("game: 2 pods have the latest revision game-")
    game.await_bound(game.link("alice", podIndex=1))
    change_template(game, "2")
    line = statefulroute.line("rollout", "status", "game")
    with TerminalSession(line, 40, statefulroute.environment, {"NO_COLOR": "1"}) as session:
        session.await_text("game: 0 of 2 pods replaced", "game-1  1 link  Rollout 4d3h")
        present = statefulroute.run_quickly("rollout", "status", "game", "--watch=false").expect_success()
        assert present.stdout == "game: 0 of 2 pods replaced; waits for the users of game-1 (1 link, 4d3h left)\n"
        columns = statefulroute.run_quickly("pods", "game", "-o", "wide").stdout.splitlines()
        assert columns[0].split()[-3:] == ["CLOSING", "DEADLINE", "REVISION"]
        assert len({line.split()[-1] for line in columns[1:]}) == 1
        assert findings(statefulroute) == []
        assert statefulroute.run_quickly("rollout", "pause", "game").stdout == "game: rollout paused\n"
        assert statefulroute.run_quickly("rollout", "pause", "game").stdout == "game: rollout paused already\n"
        session.await_text("Paused: ")
        (found,) = findings(statefulroute)
        assert (found["level"], found["remedy"]) == (
            "notice",
            "if this is not intended: statefulroute rollout resume ROUTE",
        )
        late = statefulroute.run_quickly("rollout", "status", "game", "--timeout", "0.5")
        assert (late.code, "not done after 0.5 s: the rollout goes on\n" in late.stderr) == (1, True)
        assert statefulroute.run_quickly("rollout", "resume", "game").stdout == "game: rollout resumed\n"
        game.client.delete(PodLink, "game.alice", game.namespace)
        code, shown = session.close()
    assert code == 0
    assert "game: 2 pods have the latest revision game-" in shown.splitlines()[-1]
    assert game.condition("RolledOut")[0] == "True"


def test_status_reports_what_nobody_rolls_out(statefulroute: Command, game: Service) -> None:
    game.client.patch(StatefulSet, "game", game.namespace, {"spec": {"updateStrategy": {"type": "RollingUpdate"}}})
    game.await_condition("RolledOut", "False", "UpdateStrategyNotOnDelete")
    result = statefulroute.run_quickly("rollout", "status", "game")
    assert (result.code, "set its spec.updateStrategy.type to OnDelete" in result.stderr) == (1, True)
    (found,) = findings(statefulroute)
    assert (found["level"], "kubectl patch statefulset" in found["remedy"]) == ("problem", True)
    game.create_route("plain", workloadRef={"name": "game"})
    for action in ("status", "pause"):
        result = statefulroute.run_quickly("rollout", action, "plain")
        assert result.code == 1
        assert result.stderr.endswith("by its own strategy: kubectl rollout status statefulset/game\n")
    assert "rollout" not in game.route("plain")["spec"]
