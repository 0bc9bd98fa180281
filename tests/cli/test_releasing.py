"""`release`: removes the finalizers and annotations of the operator."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pykube.objects import Deployment, Pod, StatefulSet

from statefulroute.api import rbac
from statefulroute.api.group import FINALIZER
from support.api_user import APIUser
from support.command import Command
from support.independent_client import IndependentClient, StatefulRoute
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.operator_process import OperatorProcess, OperatorSlot
from support.rbac import create_account
from support.service import Service
from support.waiting import eventually

ON_POD = {"statefulroute.io/weighted-load", "controller.kubernetes.io/pod-deletion-cost"}
OCCUPIED = "statefulroute.io/occupied"
ON_WORKLOAD = {f"statefulroute.io/workload-{each}" for each in ("state", "load", "time")}


@pytest.fixture(scope="module")
def web(operator: OperatorProcess, namespaced_kubectl: Kubectl, independent_client: IndependentClient) -> Service:
    """A service of a Deployment, whose pods have a deletion cost."""
    del operator  # it must run
    service = Service(namespaced_kubectl, independent_client, "web")
    service.create_workload("Deployment", 2)
    workload = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    service.create_route(workloadRef=workload, statePeriodSeconds=1, workloadPeriodSeconds=1)
    service.await_pods(2)
    eventually(lambda: len(service.route().get("status", {}).get("pods", ())) == 2, "the status has the pods")
    return service


@pytest.fixture(scope="module")
def annotated(game: Service, web: Service) -> None:
    """Both services have every annotation and finalizer of the operator."""
    game.edit_route(statePeriodSeconds=1, workloadPeriodSeconds=1, disruption={})
    game.await_bound(game.link("gerda", podIndex=1))
    for pod in range(3):
        game.report(pod, 30)
    for pod in web.route()["status"]["pods"]:
        web.report(pod["name"], 30)
    web.await_bound(web.link("walter"))
    eventually(lambda: len(annotated_pods(game, ON_POD)) == 3, "the pods of game are annotated")
    eventually(lambda: annotated_pods(web, ON_POD), "the pods of the Deployment are annotated")
    eventually(lambda: marked_pods(game) == {"game-1"} and budgets(game), "the pods of game are guarded")
    eventually(
        lambda: workload_annotations(game, StatefulSet) and workload_annotations(web, Deployment),
        "the workloads are annotated",
    )


def annotated_pods(service: Service, names: set[str]) -> dict[str, set[str]]:
    """Returns the pods of a service with annotations of these names."""
    pods = [pod["metadata"] for pod in service.client.all(Pod, service.namespace)]
    own = {
        pod["name"]: names & pod.get("annotations", {}).keys() for pod in pods if pod["labels"]["app"] == service.name
    }
    return {name: found for name, found in own.items() if found}


def marked_pods(service: Service) -> set[str]:
    """Returns the pods with the label of occupied pods."""
    pods = [pod["metadata"] for pod in service.client.all(Pod, service.namespace)]
    return {pod["name"] for pod in pods if OCCUPIED in pod["labels"]}


def budgets(service: Service) -> list[str]:
    """Returns the names of the PodDisruptionBudgets."""
    listed = service.kubectl.run("get", "pdb", "--output=name").expect_success().stdout
    return [name.partition("/")[2] for name in listed.split()]


def workload_annotations(service: Service, kind: Any) -> set[str]:
    """Returns the annotations of a workload."""
    return ON_WORKLOAD & service.annotations(kind, service.name).keys()


def finalizers(service: Service) -> list[str]:
    """Returns the finalizers of the route."""
    return list(service.route()["metadata"].get("finalizers", []))


@pytest.fixture(scope="module")
def foreign_finalizer(annotated: None, game: Service) -> str:
    """A finalizer of another controller on a route."""
    del annotated
    name = "example.com/kept"
    body = {"metadata": {"finalizers": [*finalizers(game), name]}}
    game.client.patch(StatefulRoute, "game", game.namespace, body)
    return name


def test_release_fails_while_the_operator_runs(foreign_finalizer: str, statefulroute: Command) -> None:
    del foreign_finalizer
    result = statefulroute.run_quickly("release")
    assert result.code == 1
    error = "error: an operator that still runs has added its finalizer to game, web again: stop it first, or name its"
    assert error in result.stderr


def test_release_removes_only_what_the_operator_has_written(
    foreign_finalizer: str, operator: OperatorProcess, statefulroute: Command, game: Service, web: Service
) -> None:
    operator.stop()
    links = game.links()
    modes = {"server": "(server dry run)", "client": "(dry run)"}
    dry_runs = {mode: statefulroute.run_quickly("release", f"--dry-run={mode}").expect_success() for mode in modes}
    assert len(finalizers(game)) == 2
    result = statefulroute.run_quickly("release").expect_success()
    *routes, budget, summary = result.stdout.splitlines()
    assert routes == [f"statefulroute.statefulroutes/{name} released" for name in ("game", "web")]
    assert budget == "poddisruptionbudget.policy/game-statefulset-occupied deleted"
    assert (marked_pods(game), budgets(game)) == (set(), [])
    assert summary.endswith("pods and 2 workloads released")
    for mode, suffix in modes.items():
        assert dry_runs[mode].stdout == "".join(f"{line} {suffix}\n" for line in result.stdout.splitlines())
    assert (finalizers(game), finalizers(web)) == ([foreign_finalizer], [])
    assert not any(annotated_pods(service, ON_POD) for service in (game, web))
    assert not workload_annotations(game, StatefulSet)
    assert not workload_annotations(web, Deployment)
    assert game.links() == links
    assert statefulroute.run_quickly("release").stdout == "0 routes, 0 pods and 0 workloads released\n"


def test_release_leaves_out_namespaces_that_are_served(statefulroute: Command, web: Service) -> None:
    web.client.patch(StatefulRoute, "web", web.namespace, {"metadata": {"finalizers": [FINALIZER]}})
    everywhere, line = ("release", "--all-namespaces", "--dry-run=server"), "statefulroute.statefulroutes/web released"
    assert line in statefulroute.run_quickly(*everywhere).expect_success().stdout
    served = ("--except-namespace", "elsewhere", "--except-namespace", web.namespace)
    assert line not in statefulroute.run_quickly(*everywhere, *served).expect_success().stdout
    web.client.patch(StatefulRoute, "web", web.namespace, {"metadata": {"finalizers": None}})


def test_release_reports_what_it_may_not_remove(
    statefulroute: Command, namespaced_kubectl: Kubectl, game: Service, tmp_path: Path
) -> None:
    for pod in (0, 1):
        game.annotate(pod, {"statefulroute.io/weighted-load": "1"})
    game.kubectl.run("annotate", "statefulset", "game", "statefulroute.io/workload-state=High").expect_success()
    role = rbac.release_role(annotates=False, plans_disruptions=False)
    namespaced_kubectl.create(role)
    with create_account(namespaced_kubectl, "release", f"Role/{role['metadata']['name']}"):
        user = APIUser.of(statefulroute.kubeconfig, game.namespace).as_account("release")
        eventually(lambda: not user.request("GET", "statefulroutes").error_message, "it has its rights")
        restricted = Command(user.write_kubeconfig(tmp_path / "kubeconfig"), game.namespace)
        result = restricted.run_quickly("release").expect_success()
    workload, pods, budget = result.stderr.splitlines()
    assert budget.startswith(f"note: PodDisruptionBudgets of routes in {game.namespace!r} stay: ")
    assert workload.startswith(f"note: StatefulSet {game.namespace}/game keeps its annotations: ")
    assert pods.startswith(f"note: pods of the StatefulRoute {game.namespace}/game keep their annotations and labels: ")
    assert result.stdout == "0 routes, 0 pods and 0 workloads released\n"
    assert annotated_pods(game, ON_POD).keys() == {"game-0", "game-1"}


@pytest.fixture
def deployed(
    installed: Kubectl, independent_client: IndependentClient, operator_slot: OperatorSlot
) -> Iterator[Service]:
    """A Deployment in place of an operator, in its own namespace."""
    assert not operator_slot.is_occupied
    with fresh_namespace(installed) as namespace:
        service = Service(installed.within(namespace), independent_client, "operator")
        service.create_workload("Deployment", 2)
        eventually(lambda: len(service.pod_ids()) == 2, "its pods run")
        yield service


def test_release_stops_the_named_deployment_first(statefulroute: Command, deployed: Service) -> None:
    statefulroute.run_quickly("release", "--operator", f"{deployed.namespace}/operator").expect_success()
    assert not deployed.pod_ids()
    assert deployed.client.get(Deployment, "operator", deployed.namespace)["spec"]["replicas"] == 0


def test_release_does_not_wait_for_an_evicted_pod(statefulroute: Command, deployed: Service) -> None:
    (pod, *_) = deployed.client.all(Pod, deployed.namespace)
    name, evicted = pod["metadata"]["name"], {"status": {"phase": "Failed", "reason": "Evicted"}}
    deployed.kubectl.patch("pod", name, evicted, "--subresource=status").expect_success()
    statefulroute.run_quickly(
        "release", "--operator", f"{deployed.namespace}/operator", "--timeout", "20"
    ).expect_success()
    assert [each["metadata"]["name"] for each in deployed.client.all(Pod, deployed.namespace)] == [name]


def test_release_reports_an_operator_that_does_not_stop(statefulroute: Command, deployed: Service) -> None:
    (pod, *_) = deployed.client.all(Pod, deployed.namespace)
    name = pod["metadata"]["name"]
    held = {"metadata": {"finalizers": ["example.com/kept"]}}
    deployed.client.patch(Pod, name, deployed.namespace, held)
    result = statefulroute.run_quickly("release", "--operator", f"{deployed.namespace}/operator", "--timeout", "1")
    deployed.client.patch(Pod, name, deployed.namespace, {"metadata": {"finalizers": None}})
    assert result.code == 1
    assert f"the operator has not stopped within 1 s: {name} still exists in namespace" in result.stderr


@pytest.mark.parametrize("named", ["operator", "a/b/c", "/operator"])
def test_release_rejects_a_deployment_without_a_namespace(statefulroute: Command, named: str) -> None:
    result = statefulroute.run_quickly("release", "--operator", named)
    assert (result.code, result.stderr) == (1, f"error: {named!r} does not name a Deployment: write NAMESPACE/NAME\n")


def test_release_reports_a_missing_deployment(statefulroute: Command) -> None:
    result = statefulroute.run_quickly("release", "--operator", "default/nothing").expect_success()
    assert result.stderr == "note: there is no Deployment default/nothing to stop\n"
