"""Tests an operator that annotates nothing and plans no disruptions, and has no right to."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from pykube.objects import Deployment, NamespacedAPIObject, Pod, StatefulSet

from statefulroute.api import rbac
from support.api_user import APIUser
from support.independent_client import StatefulRoute
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.operator_process import OperatorProcess, OperatorSlot
from support.rbac import create_account
from support.service import Service
from support.waiting import eventually

NAME = "operator-without-annotations"


@pytest.fixture(scope="module")
def account(installed: Kubectl) -> Iterator[APIUser]:
    """The user of a ServiceAccount with the operator's role without annotations."""
    if installed.run("get", "--raw", "/apis/rbac.authorization.k8s.io/v1").code:
        pytest.skip("this cluster has no RBAC")
    role = {**rbac.operator_cluster_role(annotates=False, plans_disruptions=False), "metadata": {"name": NAME}}
    with ExitStack() as stack:
        namespace = stack.enter_context(fresh_namespace(installed))
        installed.create(role)
        stack.callback(lambda: installed.run("delete", "clusterrole", NAME).expect_success())
        here = installed.within(namespace)
        stack.enter_context(create_account(here, NAME, f"ClusterRole/{NAME}", cluster_wide=True))
        user = APIUser.of(installed.kubeconfig, namespace).as_account(NAME)
        eventually(lambda: not user.request("GET", "/api/v1/nodes").error_message, "it has its rights")
        yield user


@pytest.fixture(scope="module")
def operator(
    account: APIUser, operator_slot: OperatorSlot, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """An operator with this account that annotates nothing."""
    kubeconfig = account.write_kubeconfig(tmp_path_factory.mktemp("account") / "kubeconfig")
    with operator_slot.acquire(kubeconfig, "--no-annotate", "--no-plan-disruptions") as process:
        yield process.start()
        process.stop()


def test_account_may_not_patch_pods_and_workloads(account: APIUser) -> None:
    pod = f"/api/v1/namespaces/{account.namespace}/pods/game-0"
    assert 'cannot patch resource "pods"' in str(account.patch(pod, {}).error_message)
    for resource in ("statefulsets", "deployments", "replicasets"):
        path = f"/apis/apps/v1/namespaces/{account.namespace}/{resource}/game"
        assert f'cannot patch resource "{resource}"' in str(account.patch(path, {}).error_message)


def test_planned_disruptions_that_are_switched_off_are_reported(operator: OperatorProcess, service: Service) -> None:
    service.start(replicas=3, disruption={})
    service.edit_route(replicas=2)
    message = "planned disruptions are switched off in the operator (--no-plan-disruptions)"
    for condition in ("Scaled", "EvictionsGuarded"):
        service.await_condition(condition, "False", "SwitchedOff", message)
    service.await_bound(service.link("alice"))
    service.await_status(replicas=3, links=1)
    assert service.kubectl.run("get", "pdb", "--output=name").expect_success().stdout == ""
    assert all(
        "statefulroute.io/occupied" not in pod["metadata"]["labels"]
        for pod in service.client.all(Pod, service.namespace)
    )
    assert "forbidden" not in operator.log_text.lower()
    assert operator.errors() == []


@pytest.mark.parametrize("kind", [StatefulSet, Deployment], ids=lambda kind: kind.kind)
def test_operator_without_annotations_does_all_its_other_work(
    kind: type[NamespacedAPIObject], operator: OperatorProcess, service: Service
) -> None:
    service.create_workload(kind.kind)
    service.create_route(workloadRef={"kind": kind.kind}, statePeriodSeconds=1, workloadPeriodSeconds=1)
    service.await_pods(3)
    pods = [pod["name"] for pod in service.route_status()["pods"]]
    for pod in pods:
        service.report(pod, 4, 4)
    service.await_bound(service.link("alice"))
    service.await_status(workloadState="High", links=1)
    service.edit_route(workloadThresholds={"overloaded": 4})
    service.await_status(workloadState="Overloaded")
    service.kubectl.run("delete", "statefulroute", "game", "--timeout=30s").expect_success()
    assert not service.exists(StatefulRoute, "game")
    assert not [name for name in service.annotations(kind, "game") if name.startswith("statefulroute.io/")]
    reported = {"statefulroute.io/load-state", "statefulroute.io/waiting-tasks", "statefulroute.io/report-time"}
    assert all(service.annotations(Pod, pod).keys() == reported for pod in pods)
    assert "forbidden" not in operator.log_text.lower()
    assert operator.errors() == []
