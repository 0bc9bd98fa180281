"""A route that gets another workload, also while no operator runs, leaves no annotations on the former one."""

from collections.abc import Iterator

import pytest
from pykube.objects import Deployment, NamespacedAPIObject, Pod, StatefulSet

from support.independent_client import StatefulRoute
from support.operator_process import OperatorProcess
from support.service import Service
from support.waiting import eventually

KINDS: dict[str, type[NamespacedAPIObject]] = {"StatefulSet": StatefulSet, "Deployment": Deployment}
COST = "controller.kubernetes.io/pod-deletion-cost"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of the former workload."""
    return str(request.param)


@pytest.fixture
def annotated(service: Service, own_operator: OperatorProcess, kind: str) -> Iterator[Service]:
    """The service whose workload and pods have annotations."""
    del own_operator  # it must run
    service.create_workload(kind, 2, **({"serviceName": "game"} if kind == "StatefulSet" else {}))
    service.create_route(workloadRef={"kind": kind}, statePeriodSeconds=1, workloadPeriodSeconds=1)
    service.await_pods(2)
    for pod in pods_of(service):
        service.report(pod, 4, 4)
    service.link("alice")
    service.await_annotations(KINDS[kind], "game", workload_state="High", workload_load="4")
    for pod in pods_of(service):
        service.await_annotations(Pod, pod, weighted_load="4")
    return service


def pods_of(service: Service) -> list[str]:
    """Returns the names of the pods in the route's status."""
    return [pod["name"] for pod in service.route_status()["pods"]]


def await_left(service: Service, kind: str, pods: list[str]) -> None:
    """Waits until the former workload and its pods have none of the operator's annotations."""
    service.await_annotations(KINDS[kind], "game", workload_state=None, workload_load=None, workload_time=None)
    for pod in pods:
        service.await_annotations(Pod, pod, weighted_load=None, load_state="4")
        assert COST not in service.annotations(Pod, pod)


def test_workload_that_was_changed_while_no_operator_ran_loses_its_annotations(
    annotated: Service, own_operator: OperatorProcess, kind: str
) -> None:
    pods = pods_of(annotated)
    assert annotated.route_status()["workload"] == {"apiVersion": "apps/v1", "kind": kind, "name": "game"}
    own_operator.stop()
    other = Service(annotated.kubectl, annotated.client, "other")
    other.create_pods(1)
    annotated.edit_route(workloadRef={"kind": "StatefulSet", "name": "other"})
    own_operator.start()
    await_left(annotated, kind, pods)
    annotated.await_status(workload={"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "other"})
    other.report(0, 4, 4)
    annotated.await_annotations(StatefulSet, "other", workload_state="High")


def test_route_that_was_changed_and_deleted_while_no_operator_ran_leaves_no_annotations(
    annotated: Service, own_operator: OperatorProcess, kind: str
) -> None:
    pods = pods_of(annotated)
    own_operator.stop()
    annotated.edit_route(workloadRef={"kind": "StatefulSet", "name": "other"})
    annotated.kubectl.run("delete", "statefulroute", "game", "--wait=false").expect_success()
    own_operator.start()
    eventually(lambda: not annotated.exists(StatefulRoute, "game"), "the route is gone")
    await_left(annotated, kind, pods)
