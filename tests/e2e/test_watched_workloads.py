"""Workloads that are not StatefulSets are watched: a change is seen at once, whatever the period."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.independent_client import StatefulRoute
from support.service import Service
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator", "quiet_cluster")

A_DAY = 86_400


@contextmanager
def no_more_pods(service: Service, number: int) -> Iterator[None]:
    """Lets the namespace have no more pods, so that a change of the replicas changes no pod."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "pods"}}
    service.kubectl.create({**quota, "spec": {"hard": {"pods": str(number)}}})
    yield
    service.kubectl.run("delete", "resourcequota", "pods").expect_success()


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet"])
def test_scaling_of_a_workload_is_seen_with_one_request(service: Service, kind: str) -> None:
    service.create_workload(kind, 2)
    service.create_route(workloadRef={"kind": kind}, statePeriodSeconds=A_DAY)
    service.await_pods(2)
    resource = f"{kind.lower()}s"
    with no_more_pods(service, 2):
        count = service.client.count_requests("apps")
        for replicas in (4, 5):
            service.kubectl.run("scale", kind, "game", f"--replicas={replicas}").expect_success()
            service.await_status(replicas=replicas)
        requests = count.by_resource("GET", "LIST", "WATCH")
        assert requests[f"GET {resource}/scale"] == 2, "one for each change"
        others = requests.get("LIST controllerrevisions", 0)  # each namespace that is deleted lists every kind once
        assert requests.get(f"LIST {resource}", 0) == others


def test_second_workload_of_a_namespace_is_watched_too(service: Service) -> None:
    other = Service(service.kubectl, service.client, "other")
    for each in (service, other):
        each.create_workload("Deployment", 1)
        each.create_route(workloadRef={"kind": "Deployment"}, statePeriodSeconds=A_DAY)
        each.await_pods(1)
    with no_more_pods(service, 2):
        for each in (service, other):
            each.kubectl.run("scale", "deployment", each.name, "--replicas=3").expect_success()
            each.await_status(replicas=3)
        service.kubectl.run("delete", "statefulroute", "other").expect_success()
        eventually(lambda: not service.exists(StatefulRoute, "other"), "the other route is gone")
        service.kubectl.run("scale", "deployment", "game", "--replicas=4").expect_success()
        service.await_status(replicas=4)


def test_workload_that_is_created_later_is_seen_at_once(service: Service) -> None:
    service.create_route(workloadRef={"kind": "Deployment"}, statePeriodSeconds=A_DAY)
    missing = f"Deployment 'game' does not exist in namespace '{service.namespace}'"
    service.await_condition("WorkloadFound", "False", "WorkloadNotFound", missing)
    service.create_workload("Deployment", 1)
    service.await_pods(1)
