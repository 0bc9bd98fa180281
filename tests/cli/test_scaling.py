"""`scale`, and what the other commands show while pods are closing."""

import json
import signal
import subprocess
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from support.command import Command
from support.independent_client import PodLink
from support.service import Service
from support.terminal import TerminalSession
from support.waiting import eventually

_numbers = count(1)

#: A deadline whose remaining time reads the same for an hour: `4d3h`.
LONG = {"deadlineSeconds": 360_000, "protect": False}


@pytest.fixture(autouse=True)
def _cleanup(game: Service) -> Iterator[None]:
    """Give closing pods much time, and the service three pods again, which its route does not scale any more."""
    game.edit_route(statePeriodSeconds=1, disruption=LONG)
    yield
    game.client.delete_all(PodLink, game.namespace)
    game.edit_route(replicas=3)
    game.await_condition("Scaled", "True")
    game.await_status(replicas=3, readyReplicas=3, links=0)
    game.edit_route(replicas=None)
    game.await_observed()


def add_users(game: Service, pod: int, number: int) -> list[str]:
    """Add users to a pod, and wait until the operator has counted them; returns the names of their links."""
    names = [game.link(f"user-{next(_numbers)}", podIndex=pod) for _ in range(number)]
    game.await_pod(pod, links=number)
    return names


def delete(game: Service, *names: str) -> None:
    """Delete links: their users leave."""
    for name in names:
        game.client.delete(PodLink, name, game.namespace)


def lines_until(process: "subprocess.Popen[str]", text: str) -> list[str]:
    """Returns the lines that a command prints, until one contains a text."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.removesuffix("\n"))
        if text in line:
            return lines
    raise AssertionError(f"not printed: {text!r}; it has printed {lines} and {process.communicate()}")


def findings(command: Command) -> list[dict[str, Any]]:
    """Returns the problems that `check` finds."""
    report = json.loads(command.run_quickly("check", "--output=json").stdout)
    return [each for each in report["findings"] if each["level"] == "problem"]


def test_scale_waits_for_the_users_of_closing_pods_and_every_command_shows_them(
    statefulroute: Command, game: Service
) -> None:
    first, second = add_users(game, 2, 2)
    for command in (("routes",), ("pods", "game", "-o", "wide")):
        header = statefulroute.run_quickly(*command).stdout.splitlines()[0]
        assert not {"DISRUPTION", "CLOSING", "DEADLINE", "REVISION"} & {*header.split()}
    scaling = statefulroute.launch("scale", "game", "--replicas=2", "--wait", "--timeout=2m")
    assert lines_until(scaling, "waits for the users")[0] == "game: 2 pods (was not set)"
    game.await_closing(2)
    columns = statefulroute.run_quickly("pods", "game", "-o", "wide").stdout.splitlines()
    assert columns[0].split()[-2:] == ["CLOSING", "DEADLINE"]
    assert [line.split()[10:12] for line in columns[1:]] == [["-", "-"], ["-", "-"], ["ScaleDown", "(4d3h"]]
    assert "CLOSING" in statefulroute.run_quickly("pods", "game").stdout.splitlines()[0]
    header, row = statefulroute.run_quickly("routes").stdout.splitlines()
    assert (header.split()[-1], "1 ScaleDown (2 links, 4d3h left)" in row) == ("DISRUPTION", True)
    (row,) = statefulroute.run_quickly("routes", "--no-headers").stdout.splitlines()
    assert "1 ScaleDown (2 links, 4d3h left)" in row
    assert findings(statefulroute) == []
    (pod,) = (each for each in json.loads(statefulroute.run_quickly("pods", "game", "-o", "json").stdout)[2:])
    assert pod["closing"]["reason"] == "ScaleDown"
    delete(game, first)
    lines_until(scaling, "game: 3 pods, 2 desired; waits for the users of game-2 (1 link, 4d3h left)")
    delete(game, second)
    output, errors = scaling.communicate(timeout=60)
    assert output.splitlines()[-1] == "game: 2 pods as desired"
    note = "note: game scales StatefulSet/game from now on: scale the route, not the workload\n"
    assert (scaling.returncode, errors) == (0, note)
    result = statefulroute.run_quickly("scale", "game", "3", "--wait").expect_success()
    assert result.stdout.splitlines()[0] == "game: 3 pods (was 2)"
    assert result.stdout.splitlines()[-1] == "game: 3 pods as desired"
    assert game.route_status()["readyReplicas"] == 3
    assert statefulroute.run_quickly("scale", "game", "3", "--wait").stdout == (
        "game: 3 pods already\ngame: 3 pods as desired\n"
    )


def test_scale_shows_users_and_deadlines_on_a_narrow_terminal_and_goes_on_after_ctrl_c(
    statefulroute: Command, game: Service
) -> None:
    game.edit_route(replicas=3)
    names = add_users(game, 2, 1)
    line = statefulroute.line("scale", "game", "2", "--wait")
    with TerminalSession(line, 40, statefulroute.environment, {"NO_COLOR": "1"}) as session:
        session.await_text("game: 3 pods, 2 desired", "game-2  1 link  ScaleDown 4d3h", "0%")
        session.process.send_signal(signal.SIGINT)
        code, shown = session.close()
    assert code == 130
    assert "the scaling goes on (revert it: statefulroute scale game 3)" in " ".join(shown.split())
    late = statefulroute.run_quickly("scale", "game", "2", "--wait", "--timeout", "1")
    assert (late.code, late.stdout.splitlines()[0]) == (1, "game: 2 pods already")
    assert "waits for the users of game-2 (1 link, " in late.stderr
    assert late.stderr.endswith("not done after 1 s: the scaling goes on\n")
    scaling = statefulroute.launch("scale", "game", "2", "--wait")
    lines_until(scaling, "waits for the users")
    game.scale_route(3)
    _, errors = scaling.communicate(timeout=30)
    assert (scaling.returncode, errors) == (1, "error: game: spec.replicas was set to 3 meanwhile\n")
    delete(game, *names)


@pytest.mark.parametrize(
    ("dry", "suffix"), [("--dry-run=server", "(server dry run)"), ("--dry-run=client", "(dry run)")]
)
def test_scale_with_dry_run_changes_nothing(statefulroute: Command, game: Service, dry: str, suffix: str) -> None:
    result = statefulroute.run_quickly("scale", "game", "1", "--wait", dry).expect_success()
    assert result.stdout == f"game: 1 pod (was not set) {suffix}\n"
    assert "replicas" not in game.route()["spec"]


def test_scale_needs_one_number_of_a_route_that_the_operator_does_not_scale(
    statefulroute: Command, game: Service
) -> None:
    for numbers in ((), ("1", "--replicas=1"), ("-1",)):
        assert statefulroute.run_quickly("scale", "game", *numbers).code == 2
    game.create_route("auto", autoscaling={"maxReplicas": 3, "linksPerPod": 5})
    result = statefulroute.run_quickly("scale", "auto", "1")
    game.kubectl.run("delete", "statefulroute", "auto").expect_success()
    assert (result.code, result.stderr.partition(",")[0]) == (1, "error: auto has spec.autoscaling")


def test_check_reports_a_route_that_its_autoscaler_cannot_scale(statefulroute: Command, game: Service) -> None:
    target = {"apiVersion": "statefulroute.io/v1alpha1", "kind": "StatefulRoute", "name": "game"}
    spec = {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 5}
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "cpu"}}
    game.kubectl.create({**scaler, "spec": spec})
    try:
        (found,) = findings(statefulroute)
        assert (found["check"], found["example"]) == ("scalers", f"{game.namespace}/game")
        assert "spec.replicas is not set" in found["message"]
        assert found["remedy"] == "set it once: statefulroute scale game REPLICAS"
        statefulroute.run_quickly("scale", "game", "3").expect_success()
        assert findings(statefulroute) == []
    finally:
        game.kubectl.run("delete", "hpa", "cpu").expect_success()


def test_a_second_route_to_a_workload_is_told_that_it_cannot_scale_it(statefulroute: Command, game: Service) -> None:
    game.edit_route(replicas=3)
    game.create_route("other", workloadRef={"name": "game"})
    try:
        result = statefulroute.run_quickly("scale", "other", "5", "--wait")
        message = "StatefulRoute 'game' plans for the same workload, because its name comes first"
        assert (result.code, result.stderr.splitlines()[-1]) == (1, f"error: other: {message}")
        (found,) = findings(statefulroute)
        assert found["message"] == f"{game.namespace}/other is not Scaled (AnotherRouteScales): {message}"
        assert "remove" in found["remedy"]
        eventually(lambda: "AnotherRouteScales" in statefulroute.run_quickly("routes").stdout, "routes shows it")
    finally:
        game.kubectl.run("delete", "statefulroute", "other").expect_success()
