"""The periods of a route: an idle period costs nothing, and an edit of a period takes effect at once."""

from typing import Any

import pytest
from pykube.objects import Pod

from localcluster.ports import free_port
from support.independent_client import IndependentClient, RequestCount
from support.load_servers import LoadCounter, pod_ip
from support.service import Service
from support.waiting import eventually, settled, stays

pytestmark = pytest.mark.usefixtures("operator", "quiet_cluster")

A_DAY = 86_400
PERIODS = 10
WRITES = ("POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION")
READS = ("GET", "LIST")

GROUPS = ("", "apps", "statefulroute.io")


#: The resources that the cluster's controllers use only when something changes.
RESOURCES = ("podlinks", "statefulroutes", "pods", "statefulsets", "deployments", "replicasets")

EVERY_SECOND = {"statePeriodSeconds": 1, "workloadPeriodSeconds": 1}


@pytest.fixture(scope="module", autouse=True)
def _no_namespace_ends(independent_client: IndependentClient) -> None:
    """Waits until the namespaces of earlier tests are gone, with everything in them."""
    eventually(lambda: not independent_client.terminating_namespaces(), "no namespace is being deleted")


def operator_requests(count: RequestCount) -> dict[str, int]:
    """Returns the requests for the resources that the operator reads and writes."""
    requests = count.by_resource(*WRITES, *READS)
    return {request: number for request, number in requests.items() if request.split()[1].split("/")[0] in RESOURCES}


def events_in_namespace(service: Service) -> list[dict[str, Any]]:
    """Returns the operator's events in the namespace of a service."""
    return [*service.events("PodLink"), *service.events("StatefulRoute")]


def load_at(port: int) -> dict[str, Any]:
    """Returns the load settings of a route that polls its pods at a port."""
    return {"source": "HTTP", "http": {"port": port}}


def test_idle_periods_write_and_read_nothing(service: Service) -> None:
    reported, deployed = (Service(service.kubectl, service.client, name) for name in ("reported", "deployed"))
    port, answering = free_port(), LoadCounter()
    service.create_pods(50)
    deployed.create_workload("Deployment", 1)
    reported.start(3, **EVERY_SECOND)
    eventually(lambda: len(service.pod_ids()) == 54, "the pods exist")
    names: dict[str, list[str]] = {"game": [], "reported": [], "deployed": []}
    for pod in service.client.all(Pod, service.namespace):
        names[pod["metadata"]["labels"]["app"]].append(pod["metadata"]["name"])
    for pod in names["reported"]:
        reported.report(pod, 2, 2)
    ips = [pod_ip(service, pod) for pod in (*names["game"], *names["deployed"])]
    with answering.listening(ips, port):
        service.create_route(load=load_at(port), **EVERY_SECOND)
        deployed.create_route(workloadRef={"kind": "Deployment"}, load=load_at(port), **EVERY_SECOND)
        service.link_all(f"user-{number}" for number in range(20))
        service.await_all_bound(20)
        for routed, pods, links in ((service, 50, 20), (reported, 3, 0), (deployed, 1, 0)):
            routed.await_status(readyReplicas=pods, links=links, workloadState="Normal")
            routed.await_condition("LoadFresh", "True")
            for name in names[routed.name]:
                routed.await_annotations(Pod, name, weighted_load="2" if routed is reported else "1")
        events = settled(lambda: events_in_namespace(service), "the last events are recorded", seconds=1.0)
        asked = {ip: answering.request_count(ip) for ip in ips}
        count = service.client.count_requests(*GROUPS)
        eventually(
            lambda: all(answering.request_count(ip) >= asked[ip] + PERIODS for ip in ips), "ten periods have passed"
        )
        requests = operator_requests(count)
    assert requests == {}
    assert events_in_namespace(service) == events


def test_new_state_period_takes_effect_at_once_both_ways(service: Service) -> None:
    port, pods = free_port(), LoadCounter()
    service.create_pods(1)
    with pods.listening([pod_ip(service, "game-0")], port):
        service.create_route(load=load_at(port), statePeriodSeconds=A_DAY)
        service.await_pod(0, loadState=1)
        before = pods.request_count()
        service.edit_route(statePeriodSeconds=1)
        # Further polls are those of the new period, because two turns of the old one take a day.
        eventually(lambda: pods.request_count() >= before + 3, "the pod is polled every second")
        service.edit_route(statePeriodSeconds=A_DAY)
        service.await_observed()
        asked = pods.request_count()
        stays(lambda: pods.request_count() <= asked + 1, "the pod is not polled any more", seconds=2.2)


def test_new_workload_period_takes_effect_at_once(service: Service) -> None:
    service.start(1, statePeriodSeconds=1, workloadPeriodSeconds=A_DAY)
    service.report(0, 1, 1)
    service.edit_route(workloadThresholds={"high": 4})  # an edit is assessed at once
    service.await_status(workloadState="Normal")
    service.report(0, 9, 9)
    service.await_pod(0, loadState=9)
    stays(lambda: service.route_status()["workloadState"] == "Normal", "the period is not over", seconds=1.5)
    service.edit_route(workloadPeriodSeconds=1)
    service.await_status(workloadState="Overloaded")
    service.report(0, 0, 0)
    service.await_status(workloadState="Idle")
