"""The periods of a route: an idle one costs nothing, and an edit of one takes effect at once."""

from typing import Any

import pytest
from pykube.objects import Pod

from support.independent_client import IndependentClient, RequestCount
from support.load_servers import LoadCounter, free_port, pod_ip
from support.service import Service
from support.waiting import eventually, stays

pytestmark = pytest.mark.usefixtures("operator", "quiet_cluster")

A_DAY = 86_400
PERIODS = 10
WRITES = ("POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION")
READS = ("GET", "LIST")

GROUPS = ("", "apps", "statefulroute.io")


#: The controllers of the cluster have other work all the time; with these, only when something changes.
RESOURCES = ("podlinks", "statefulroutes", "pods", "statefulsets", "deployments", "replicasets")

EVERY_SECOND = {"statePeriodSeconds": 1, "workloadPeriodSeconds": 1}


@pytest.fixture(scope="module", autouse=True)
def _no_namespace_ends(independent_client: IndependentClient) -> None:
    """The namespaces of earlier tests are gone, with all that was in them."""
    eventually(lambda: not independent_client.terminating_namespaces(), "no namespace is being deleted")


def of_the_operator(count: RequestCount) -> dict[str, int]:
    """The requests that were made for what the operator reads and writes."""
    made = count.by_resource(*WRITES, *READS)
    return {request: number for request, number in made.items() if request.split()[1].split("/")[0] in RESOURCES}


def events_in_namespace(service: Service) -> list[dict[str, Any]]:
    """What the operator has told in the namespace of a service."""
    return [*service.events("PodLink"), *service.events("StatefulRoute")]


def load_at(port: int) -> dict[str, Any]:
    """The settings of a route whose pods are asked at a port."""
    return {"source": "HTTP", "http": {"port": port}}


def test_idle_periods_write_nothing_and_read_only_the_scale_of_what_is_not_watched(service: Service) -> None:
    told, free = (Service(service.kubectl, service.client, name) for name in ("told", "free"))
    port, answering = free_port(), LoadCounter()
    service.create_pods(50)
    free.create_workload("Deployment", 1)
    told.start(3, **EVERY_SECOND)
    eventually(lambda: len(service.pod_ids()) == 54, "there are pods")
    names: dict[str, list[str]] = {"game": [], "told": [], "free": []}
    for pod in service.client.all(Pod, service.namespace):
        names[pod["metadata"]["labels"]["app"]].append(pod["metadata"]["name"])
    for pod in names["told"]:
        told.report(pod, 2, 2)
    ips = [pod_ip(service, pod) for pod in (*names["game"], *names["free"])]
    with answering.listening(ips, port):
        service.create_route(load=load_at(port), **EVERY_SECOND)
        free.create_route(workloadRef={"kind": "Deployment"}, load=load_at(port), **EVERY_SECOND)
        service.link_all(f"user-{number}" for number in range(20))
        service.await_all_bound(20)
        for each, pods, links in ((service, 50, 20), (told, 3, 0), (free, 1, 0)):
            each.await_status(readyReplicas=pods, links=links, workloadState="Normal")
            each.await_condition("LoadFresh", "True")
            for name in names[each.name]:
                each.await_annotations(Pod, name, weighted_load="2" if each is told else "1")
        events, asked = events_in_namespace(service), {ip: answering.request_count(ip) for ip in ips}
        count = service.client.count_requests(*GROUPS)
        eventually(
            lambda: all(answering.request_count(ip) >= asked[ip] + PERIODS for ip in ips), "ten periods are over"
        )
        requests, turns = of_the_operator(count), answering.request_count(ips[-1]) - asked[ips[-1]]
    assert requests.keys() == {"GET deployments/scale"}
    assert turns - 1 <= requests["GET deployments/scale"] <= turns + 1
    assert events_in_namespace(service) == events


def test_a_new_state_period_is_taken_up_at_once_both_ways(service: Service) -> None:
    port, pods = free_port(), LoadCounter()
    service.create_pods(1)
    with pods.listening([pod_ip(service, "game-0")], port):
        service.create_route(load=load_at(port), statePeriodSeconds=A_DAY)
        service.await_pod(0, loadState=1)
        before = pods.request_count()
        service.edit_route(statePeriodSeconds=1)
        # However many come, it is by the new period: of the old one, two turns take a day.
        eventually(lambda: pods.request_count() >= before + 3, "it is asked every second")
        service.edit_route(statePeriodSeconds=A_DAY)
        service.await_observed()
        asked = pods.request_count()
        stays(lambda: pods.request_count() <= asked + 1, "it is asked no more", seconds=2.2)


def test_a_new_workload_period_is_taken_up_at_once(service: Service) -> None:
    service.start(1, statePeriodSeconds=1, workloadPeriodSeconds=A_DAY)
    service.report(0, 1, 1)
    service.edit_route(workloadThresholds={"high": 4})  # it is assessed at an edit
    service.await_status(workloadState="Normal")
    service.report(0, 9, 9)
    service.await_pod(0, loadState=9)
    stays(lambda: service.route_status()["workloadState"] == "Normal", "its turn has not come", seconds=1.5)
    service.edit_route(workloadPeriodSeconds=1)
    service.await_status(workloadState="Overloaded")
    service.report(0, 0, 0)
    service.await_status(workloadState="Idle")
