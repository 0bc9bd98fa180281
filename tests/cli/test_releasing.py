"""`release`: the operator's marks are taken off, and nothing waits for an operator that is no more."""

from collections.abc import Iterator
from typing import Any

import pytest
from pykube.objects import Deployment, Pod, StatefulSet

from support.command import Command
from support.independent_client import IndependentClient, StatefulRoute
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.operator_process import OperatorProcess, OperatorSlot
from support.service import Service
from support.waiting import eventually

ON_POD = {"statefulroute.io/weighted-load", "controller.kubernetes.io/pod-deletion-cost"}
ON_WORKLOAD = {f"statefulroute.io/workload-{each}" for each in ("state", "load", "time")}


@pytest.fixture(scope="module")
def web(operator: OperatorProcess, here: Kubectl, independent_client: IndependentClient) -> Service:
    """A service of a Deployment, whose pods bear a cost of their deletion."""
    del operator  # it has to serve
    service = Service(here, independent_client, "web")
    service.create_workload("Deployment", 2)
    workload = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    service.create_route(workloadRef=workload, statePeriodSeconds=1, workloadPeriodSeconds=1)
    service.await_pods(2)
    eventually(lambda: len(service.route().get("status", {}).get("pods", ())) == 2, "the route knows its pods")
    return service


@pytest.fixture(scope="module")
def marked(game: Service, web: Service) -> None:
    """Both services bear every mark that the operator leaves."""
    game.edit_route(statePeriodSeconds=1, workloadPeriodSeconds=1)
    for pod in range(3):
        game.report(pod, 30)
    for pod in web.route()["status"]["pods"]:
        web.report(pod["name"], 30)
    web.await_bound(web.link("walter"))
    eventually(lambda: len(marks(game, ON_POD)) == 3, "the game's pods bear notes")
    eventually(lambda: marks(web, ON_POD), "the pods of the Deployment bear notes")
    eventually(lambda: noted(game, StatefulSet) and noted(web, Deployment), "the workloads bear notes")


def marks(service: Service, names: set[str]) -> dict[str, set[str]]:
    """The pods of a service that bear notes of these names."""
    pods = [pod["metadata"] for pod in service.client.all(Pod, service.namespace)]
    own = {
        pod["name"]: names & pod.get("annotations", {}).keys() for pod in pods if pod["labels"]["app"] == service.name
    }
    return {name: found for name, found in own.items() if found}


def noted(service: Service, kind: Any) -> set[str]:
    """The notes on a workload."""
    return ON_WORKLOAD & service.annotations(kind, service.name).keys()


def finalizers(service: Service) -> list[str]:
    """What holds a route."""
    return list(service.route()["metadata"].get("finalizers", []))


@pytest.fixture(scope="module")
def foreign(marked: None, game: Service) -> str:
    """A finalizer that somebody else has put on a route."""
    del marked
    name = "example.com/kept"
    body = {"metadata": {"finalizers": [*finalizers(game), name]}}
    game.client.patch(StatefulRoute, "game", game.namespace, body)
    return name


def test_an_operator_that_still_runs_is_told_of(foreign: str, statefulroute: Command) -> None:
    del foreign
    result = statefulroute.run_quickly("release")
    assert result.code == 1
    error = "error: an operator that still runs has added its finalizer to game, web again: stop it first, or name its"
    assert error in result.stderr


def test_all_marks_are_taken_off_and_what_others_have_put_there_stays(
    foreign: str, operator: OperatorProcess, statefulroute: Command, game: Service, web: Service
) -> None:
    operator.stop()
    links = game.links()
    rehearsed = statefulroute.run_quickly("release", "--dry-run=server").expect_success()
    assert len(finalizers(game)) == 2
    result = statefulroute.run_quickly("release").expect_success()
    *routes, summary = result.stdout.splitlines()
    assert routes == [f"statefulroute.statefulroutes/{name} released" for name in ("game", "web")]
    assert summary.endswith("pods and 2 workloads released")
    assert rehearsed.stdout == "".join(f"{line} (server dry run)\n" for line in result.stdout.splitlines())
    assert (finalizers(game), finalizers(web)) == ([foreign], [])
    assert not any(marks(service, ON_POD) for service in (game, web))
    assert not noted(game, StatefulSet)
    assert not noted(web, Deployment)
    assert game.links() == links
    assert statefulroute.run_quickly("release").stdout == "0 routes, 0 pods and 0 workloads released\n"


@pytest.fixture
def deployed(
    installed: Kubectl, independent_client: IndependentClient, operator_slot: OperatorSlot
) -> Iterator[Service]:
    """A Deployment that stands for an operator's, in a namespace of its own."""
    assert not operator_slot.is_occupied
    with fresh_namespace(installed) as namespace:
        service = Service(installed.within(namespace), independent_client, "operator")
        service.create_workload("Deployment", 2)
        eventually(lambda: len(service.pod_ids()) == 2, "its pods run")
        yield service


def test_the_operator_is_stopped_first_where_its_deployment_is_named(statefulroute: Command, deployed: Service) -> None:
    statefulroute.run_quickly("release", "--operator", f"{deployed.namespace}/operator").expect_success()
    assert not deployed.pod_ids()
    assert deployed.client.get(Deployment, "operator", deployed.namespace)["spec"]["replicas"] == 0


def test_a_pod_of_the_operator_that_was_evicted_is_not_waited_for(statefulroute: Command, deployed: Service) -> None:
    (pod, *_) = deployed.client.all(Pod, deployed.namespace)
    name, evicted = pod["metadata"]["name"], {"status": {"phase": "Failed", "reason": "Evicted"}}
    deployed.kubectl.patch("pod", name, evicted, "--subresource=status").expect_success()
    statefulroute.run_quickly(
        "release", "--operator", f"{deployed.namespace}/operator", "--timeout", "20"
    ).expect_success()
    assert [each["metadata"]["name"] for each in deployed.client.all(Pod, deployed.namespace)] == [name]


def test_an_operator_that_does_not_stop_is_told_of(statefulroute: Command, deployed: Service) -> None:
    (pod, *_) = deployed.client.all(Pod, deployed.namespace)
    name = pod["metadata"]["name"]
    held = {"metadata": {"finalizers": ["example.com/kept"]}}
    deployed.client.patch(Pod, name, deployed.namespace, held)
    result = statefulroute.run_quickly("release", "--operator", f"{deployed.namespace}/operator", "--timeout", "1")
    deployed.client.patch(Pod, name, deployed.namespace, {"metadata": {"finalizers": None}})
    assert result.code == 1
    assert f"the operator has not stopped within 1 s: {name} still exists in namespace" in result.stderr


@pytest.mark.parametrize("named", ["operator", "a/b/c", "/operator"])
def test_a_deployment_is_named_with_its_namespace(statefulroute: Command, named: str) -> None:
    result = statefulroute.run_quickly("release", "--operator", named)
    assert (result.code, result.stderr) == (1, f"error: {named!r} does not name a Deployment: write NAMESPACE/NAME\n")


def test_a_deployment_that_is_not_there_is_told_of(statefulroute: Command) -> None:
    result = statefulroute.run_quickly("release", "--operator", "default/nothing").expect_success()
    assert result.stderr == "note: there is no Deployment default/nothing to stop\n"
