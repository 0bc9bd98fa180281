"""`confirm-loss`, and what `check` reports about suspended losses."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from pykube.objects import Pod

from support.command import Command
from support.independent_client import PodLink, StatefulRoute
from support.service import Service
from support.waiting import eventually

CONFIRMED_AT = "statefulroute.io/loss-confirmed-at"

PODS = 3

FIGURES = "3 of 3 pods look lost, more than 50 %"


@pytest.fixture
def names(game: Service) -> Iterator[list[str]]:
    """The links of two users on each pod, when all pods are missing and their losses are suspended."""
    game.set_on_pod_lost("Release", 2)
    names = [game.link(f"user-{number}", podIndex=number % PODS) for number in range(2 * PODS)]
    game.await_all_bound(2 * PODS)
    with game.pod_quota(0):
        for index in range(PODS):
            game.client.delete(Pod, game.pod_name(index), game.namespace)
        game.await_condition("LossSuspended", "True", "PodsLost")
        yield names
    game.await_pods(PODS)
    game.edit_route(onPodLost=None)
    game.client.delete_all(PodLink, game.namespace)
    eventually(lambda: not game.links(), "no link is left")


def test_confirm_loss_lets_the_operator_act_on_a_suspended_loss(
    statefulroute: Command, game: Service, names: list[str]
) -> None:
    for mode, suffix in (("server", "(server dry run)"), ("client", "(dry run)")):
        dry = statefulroute.run_quickly("confirm-loss", "game", f"--dry-run={mode}").expect_success()
        assert dry.stdout == f"game: confirmed that {FIGURES} {suffix}\n"
    assert CONFIRMED_AT not in game.annotations(StatefulRoute, "game")
    assert {link["metadata"]["name"] for link in game.links()} == set(names)
    before = datetime.now(UTC).replace(microsecond=0)
    confirmed = statefulroute.run_quickly("confirm-loss", "game").expect_success()
    assert (confirmed.stdout, confirmed.stderr) == (f"game: confirmed that {FIGURES}\n", "")
    assert before <= datetime.fromisoformat(game.annotations(StatefulRoute, "game")[CONFIRMED_AT]) <= datetime.now(UTC)
    game.await_deleted(*names)
    game.await_condition("LossSuspended", "False", "NoLossSuspended")
    again = statefulroute.run_quickly("confirm-loss", "game").expect_success()
    assert again.stdout == "game: no loss is suspended\n"


@pytest.mark.usefixtures("names")
def test_check_reports_suspended_losses_and_how_to_confirm_them(statefulroute: Command, game: Service) -> None:
    report = json.loads(statefulroute.run_quickly("check", "--output=json").stdout)
    (found,) = (each for each in report["findings"] if "LossSuspended" in each["message"])
    assert (found["check"], found["level"], found["example"]) == ("routes", "problem", f"{game.namespace}/game")
    assert found["message"].startswith(f"{game.namespace}/game is LossSuspended (PodsLost): {FIGURES}: no link is")
    assert found["remedy"] == "bring the pods back, or confirm the loss: statefulroute confirm-loss ROUTE"


def test_confirm_loss_of_a_route_that_does_not_exist_is_an_error(statefulroute: Command) -> None:
    result = statefulroute.run_quickly("confirm-loss", "nothing")
    assert (result.code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
