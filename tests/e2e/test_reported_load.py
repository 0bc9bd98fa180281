"""Loads that pods report in annotations: status, annotations and events, and where new users go."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count

import pytest
from pykube.objects import Pod, StatefulSet

from support.independent_client import PodLink
from support.operator_process import OperatorProcess
from support.service import Service
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("quiet_cluster")

A_DAY = 86_400

_numbers = count()


@pytest.fixture(scope="module")
def reporting(shared_service: Service) -> Service:
    """The shared service with periods of one second, so that reports are weighed and annotated within a second."""
    shared_service.edit_route(
        statePeriodSeconds=1, workloadPeriodSeconds=1, load={"cpuFactorPercent": 50, "staleAfterSeconds": A_DAY}
    )
    shared_service.await_observed()
    return shared_service


@pytest.fixture
def game(reporting: Service) -> Iterator[Service]:
    """The service; its links are deleted and its settings are restored after each test."""
    yield reporting
    reporting.client.delete_all(PodLink, reporting.namespace)
    reporting.edit_route(
        routingState="Ready",
        placement=None,
        workloadPeriodSeconds=1,
        load={"cpuFactorPercent": 50, "staleAfterSeconds": A_DAY},
    )
    reporting.await_observed()
    eventually(lambda: not reporting.links(), "the links are gone")


def report(game: Service, *loads: int) -> None:
    """Reports the load of each pod, and waits until the operator has read it."""
    for index, load in enumerate(loads):
        game.report(index, load, load)
    for index, load in enumerate(loads):
        game.await_pod(index, loadState=load, waitingTasks=load, weightedLoadMilli=load * 1000)


def burst(game: Service, number: int) -> dict[int, int]:
    """Creates links at the same time; returns how many of them each pod got."""
    names = set(game.link_all(f"user-{next(_numbers)}" for _ in range(number)))
    for name in names:
        game.await_bound(name)
    pods = [link["spec"]["podIndex"] for link in game.links() if link["metadata"]["name"] in names]
    return {index: pods.count(index) for index in sorted(set(pods))}


def test_reported_loads_are_weighed_in_status_and_annotations(game: Service) -> None:
    game.report(0, 8, 5)
    game.report(2, 4, 4)
    game.report(1, 1, 0)  # last: without it, the load of the workload is so much higher that the change is annotated
    game.await_pod(0, loadState=8, waitingTasks=5, weightedLoadMilli=6500, loadStale=None)
    game.await_pod(1, loadState=1, waitingTasks=0, weightedLoadMilli=500)
    game.await_status(bestPodIndex=1, bestPodName="game-1", workloadState="High", workloadLoad=3)
    for index, weighted in enumerate(("6.5", "0.5", "4")):
        game.await_annotations(Pod, f"game-{index}", weighted_load=weighted)
    game.await_annotations(StatefulSet, "game", workload_state="High", workload_load="3.666")
    workload_time = datetime.fromisoformat(game.annotations(StatefulSet, "game")["statefulroute.io/workload-time"])
    assert abs((datetime.now(UTC) - workload_time).total_seconds()) < 300
    assert game.condition("LoadFresh") == (
        "True",
        "LoadFresh",
        "all of 3 pods that serve users have reported their load",
    )
    game.edit_route(load={"cpuFactorPercent": 0})
    game.await_pod(0, weightedLoadMilli=8000)
    game.await_annotations(Pod, "game-0", weighted_load="8")


def test_report_of_the_same_second_with_another_value_counts(game: Service) -> None:
    second = datetime.now(UTC).replace(microsecond=0).isoformat()
    for load in (1, 9, 4):
        figures = {"load-state": str(load), "waiting-tasks": str(load), "report-time": second}
        game.annotate(0, {f"statefulroute.io/{name}": value for name, value in figures.items()})
        game.await_pod(0, loadState=load, waitingTasks=load)


def test_load_annotation_is_updated_when_the_load_changes_by_a_tenth(game: Service) -> None:
    report(game, 100, 50, 100)
    game.await_annotations(Pod, "game-0", weighted_load="100")
    report(game, 109, 50, 100)
    assert game.annotations(Pod, "game-0")["statefulroute.io/weighted-load"] == "100"
    report(game, 110, 50, 100)
    game.await_annotations(Pod, "game-0", weighted_load="110")
    report(game, 99, 50, 100)
    game.await_annotations(Pod, "game-0", weighted_load="99")
    assert game.annotations(Pod, "game-1")["statefulroute.io/weighted-load"] == "50"


def test_new_users_go_to_the_least_loaded_pod_until_it_is_as_busy_as_others(game: Service) -> None:
    game.link_each({f"old-{number}": {"podIndex": number % 3} for number in range(30)})
    game.await_all_bound(30)
    game.await_status(links=30)
    report(game, 10, 20, 30)
    # The 30 users of the pods make a load of 60, so each new user counts 2 until the next report.
    assert burst(game, 5) == {0: 5}
    assert burst(game, 10) == {0: 5, 1: 5}
    assert burst(game, 6) == {0: 2, 1: 2, 2: 2}


def test_burst_over_pods_of_equal_load_is_even(game: Service) -> None:
    report(game, 3, 3, 3)
    assert burst(game, 60) == {0: 20, 1: 20, 2: 20}


def test_pods_within_the_range_of_the_best_share_the_new_users(game: Service) -> None:
    game.edit_route(placement={"range": 2})
    report(game, 4, 6, 7)
    game.await_observed()
    assert burst(game, 20) == {0: 10, 1: 10}
    game.edit_route(placement={"range": 1})
    game.await_observed()
    assert burst(game, 5) == {0: 5}


def test_full_pod_takes_no_users_even_if_idle(game: Service) -> None:
    game.edit_route(placement={"maxLinksPerPod": 4})
    report(game, 1, 5, 9)
    game.await_observed()
    assert burst(game, 6) == {0: 4, 1: 2}
    assert burst(game, 6) == {1: 2, 2: 4}
    game.await_link(game.link("one-too-many"), "Pending", "AtCapacity")


UNREADABLE: dict[str, dict[str, str]] = {
    "has no annotation statefulroute.io/report-time: add the time of its report, as RFC 3339": {"load-state": "1.5"},
    "has an annotation statefulroute.io/load-state that is not a whole number from 0 to 2147483647": {
        "report-time": "2026-01-01T00:00:00Z"
    },
}


def test_condition_names_a_pod_with_an_invalid_report_and_the_error(game: Service) -> None:
    report(game, 1, 1, 1)
    replace_pod(game, 2)
    for cause, annotations in UNREADABLE.items():
        game.annotate(2, {f"statefulroute.io/{name}": value for name, value in annotations.items()})
        message = "no fresh load from 1 of 3 pods that serve users: game-2 (compared by its links)"
        game.await_condition("LoadFresh", "False", "LoadStale", f"{message} {cause}")
    assert "loadState" not in game.pod_status(2)
    assert burst(game, 6) == {0: 2, 1: 2, 2: 2}


def test_load_becomes_stale_without_an_event_and_fresh_with_the_next_report(game: Service) -> None:
    game.edit_route(load={"staleAfterSeconds": 5})
    report(game, 1, 5, 5)
    game.await_observed()
    own = game.link("own")
    assert game.await_bound(own)["podIndex"] == 0
    version = game.get(own)["metadata"]["resourceVersion"]
    for index in (1, 2):
        game.report(index, 5, 5, age_seconds=-3600)  # a report from a clock that is ahead counts as of now
    game.report(0, 1, 1, age_seconds=3)
    game.await_pod(0, loadStale=True)
    game.await_condition("LoadFresh", "False")
    for index in (1, 2):
        game.report(index, 5, 5)
    message = "no fresh load from 1 of 3 pods that serve users: game-0 (takes no new users)"
    cause = "last reported its load more than 5 s ago"
    game.await_condition("LoadFresh", "False", "LoadStale", f"{message} {cause}")
    assert game.get(own)["metadata"]["resourceVersion"] == version
    assert 0 not in burst(game, 4)
    game.report(0, 1, 1)
    game.await_pod(0, loadStale=None)
    assert burst(game, 1) == {0: 1}


def test_workload_state_is_in_status_annotations_and_events(game: Service) -> None:
    report(game, 0, 0, 0)
    game.await_status(workloadState="Idle", workloadLoad=0)
    for load, state in ((3, "High"), (5, "Overloaded"), (1, "Normal")):
        game.edit_route(workloadPeriodSeconds=A_DAY)  # no assessment sees the reports of a part of the pods
        game.await_observed()
        for index in range(3):
            game.report(index, load, load + 1)
        for index in range(3):
            game.await_pod(index, loadState=load, weightedLoadMilli=load * 1000 + 500)
        game.edit_route(workloadPeriodSeconds=1)
        game.await_status(workloadState=state, workloadLoad=load)
        game.await_annotations(StatefulSet, "game", workload_state=state, workload_load=f"{load}.5")
    events = [
        ("Normal", "High", "the service was Idle and is High: the mean weighted load of its pods is 3.5"),
        ("Warning", "Overloaded", "the service was High and is Overloaded: the mean weighted load of its pods is 5.5"),
        ("Normal", "Normal", "the service was Overloaded and is Normal: the mean weighted load of its pods is 1.5"),
    ]
    eventually(lambda: assessments(game)[-3:] == events, f"these are its events: {events}")
    shown = game.kubectl.run("describe", "statefulroute", "game").expect_success().stdout
    assert "the service was High and is Overloaded: the mean weighted load of its pods is 5.5" in shown
    listed = game.kubectl.run("get", "statefulroute", "game", "--no-headers").expect_success().stdout.split()
    assert listed[:4] == ["game", "True", "Ready", "Normal"]


def test_workload_state_follows_a_shutdown_of_the_service_at_once(game: Service) -> None:
    report(game, 1, 1, 1)
    game.edit_route(workloadPeriodSeconds=A_DAY)
    game.await_status(workloadState="Normal")
    game.edit_route(routingState="Shutdown")
    game.await_status(workloadState="Shutdown", routingState="Shutdown")
    game.await_annotations(StatefulSet, "game", workload_state="Shutdown")
    game.edit_route(routingState="Ready")
    game.await_status(workloadState="Normal", workloadLoad=1)
    game.await_annotations(StatefulSet, "game", workload_state="Normal", workload_load="1")


def test_annotations_are_removed_with_the_route(service: Service, operator: OperatorProcess) -> None:
    del operator
    service.start(statePeriodSeconds=1, workloadPeriodSeconds=1)
    for index in range(3):
        service.report(index, 2, 2)
        service.await_annotations(Pod, f"game-{index}", weighted_load="2")
    service.await_annotations(StatefulSet, "game", workload_state="Normal", workload_load="2")
    service.kubectl.run("delete", "statefulroute", "game", "--timeout=30s").expect_success()
    nothing = {"workload_state": None, "workload_load": None, "workload_time": None}
    service.await_annotations(StatefulSet, "game", **nothing)
    for index in range(3):
        service.await_annotations(Pod, f"game-{index}", weighted_load=None, load_state="2", waiting_tasks="2")


def replace_pod(game: Service, index: int) -> None:
    """Replaces a pod by a new one, which has not reported a load."""
    name = game.pod_name(index)
    before = game.client.get(Pod, name, game.namespace)["metadata"]["uid"]
    game.kubectl.run("delete", "pod", name, "--wait=false").expect_success()
    eventually(
        lambda: any(
            pod["metadata"]["name"] == name and pod["metadata"]["uid"] != before
            for pod in game.client.all(Pod, game.namespace)
        ),
        "the new pod exists",
    )
    game.await_pods(3)
    game.await_pod(index, serviceState="Ready", loadState=None)


def assessments(game: Service) -> list[tuple[str, str, str]]:
    """Returns the type, the reason and the note of each event of the service's load."""
    events = [event for event in game.events("StatefulRoute") if event["action"] == "Assess"]
    return [(event["type"], event["reason"], event["note"]) for event in events]
