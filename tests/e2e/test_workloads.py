"""Routes to workloads other than a StatefulSet with ordinals from 0: everything that can be scaled can be routed to."""

from collections.abc import Iterator
from typing import Any

import pykube
import pytest
from pykube.objects import Deployment, Pod, ReplicaSet

from support.independent_client import PodLink, StatefulRoute
from support.kubectl import Kubectl
from support.link_recorder import LinkRecorder
from support.service import SHUT_DOWN, Service, condition_of
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator")

A_DAY = 86_400
COST = "controller.kubernetes.io/pod-deletion-cost"
KINDS = {"Deployment": Deployment, "ReplicaSet": ReplicaSet}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of a workload with pods without an index."""
    return str(request.param)


@pytest.fixture
def fleet(service: Service, kind: str) -> Service:
    """The service with three pods without an index, and its route with a grace period of a day."""
    start(service, kind)
    return service


def start(service: Service, kind: str, **route: Any) -> None:
    """Creates a workload of three pods and its route, and waits until the operator observes that all pods are Ready."""
    service.create_workload(kind)
    settings = {"statePeriodSeconds": 1, "workloadPeriodSeconds": 1, "onPodLost": {"graceSeconds": A_DAY}}
    service.create_route(workloadRef={"kind": kind}, **settings | route)
    service.await_pods(3)


def pods_of(service: Service) -> list[str]:
    """Returns the names of the pods in the route's status."""
    return [pod["name"] for pod in service.route_status()["pods"]]


def test_links_name_pods_without_an_index(fleet: Service, kind: str) -> None:
    pods = pods_of(fleet)
    assert pods == sorted(pod["metadata"]["name"] for pod in fleet.client.all(Pod, fleet.namespace))
    named, chosen = fleet.link("named", podName=pods[0]), fleet.link("chosen")
    status = fleet.await_bound(named)
    assert status["podName"] == pods[0]
    assert not status.keys() & {"podIndex", "host"}
    status = fleet.await_bound(chosen)
    assert status["podName"] in pods[1:]
    assert "podIndex" not in status
    assert fleet.get(chosen)["spec"] == {"routeName": "game", "uid": "chosen", "podName": status["podName"]}
    fleet.await_pod(pods[0], index=None, links=1)
    assert fleet.condition("WorkloadFound") == ("True", "WorkloadFound", f"{kind} 'game' exists")
    free = next(pod for pod in pods if pod not in {pods[0], status["podName"]})
    fleet.await_status(links=2, bestPodIndex=None, bestPodName=free)


def test_scale_down_deletes_the_pod_with_the_fewest_users_and_they_move_at_once(
    fleet: Service, recorder: LinkRecorder
) -> None:
    full, emptiest, middle = pods_of(fleet)
    users = {
        f"{pod}-{number}": pod for pod, links in ((full, 4), (emptiest, 1), (middle, 3)) for number in range(links)
    }
    fleet.link_each({f"user-{uid}": {"podName": pod} for uid, pod in users.items()})
    fleet.await_all_bound(8)
    for pod, cost in ((full, "4"), (emptiest, "1"), (middle, "3")):
        eventually(lambda pod=pod, cost=cost: fleet.annotations(Pod, pod).get(COST) == cost, f"{pod} costs {cost}")
    fleet.kubectl.run("scale", fleet.route()["spec"]["workloadRef"]["kind"], "game", "--replicas=2").expect_success()
    eventually(lambda: set(pods_of(fleet)) == {full, middle}, "the pod with the fewest users is gone")
    moved = f"game.user-{emptiest}-0"
    status = fleet.await_moved(moved, emptiest)
    assert status["podName"] == middle
    assert "podIndex" not in status["previous"]
    event = ("Warning", "PodLost", f"moved from pod '{emptiest}' to pod '{middle}': PodDeleted")
    fleet.await_events(moved, ("Normal", "Bound", f"bound to pod '{emptiest}'"), event)
    transitions = {name: history for name, history in recorder.all_transitions().items() if name != moved}
    assert all(history == ["created", "Bound"] for history in transitions.values())


def test_annotations_of_the_workload_are_removed_with_its_route(fleet: Service, kind: str) -> None:
    pods = pods_of(fleet)
    fleet.link("alice", podName=pods[0])
    for pod in pods:
        fleet.report(pod, 4, 4)
    fleet.await_status(workloadState="High", workloadLoad=4)
    fleet.await_annotations(KINDS[kind], "game", workload_state="High", workload_load="4")
    fleet.await_annotations(Pod, pods[0], weighted_load="4")
    eventually(lambda: fleet.annotations(Pod, pods[0]).get(COST) == "1", "its user is counted")
    assert [COST in fleet.annotations(Pod, pod) for pod in pods[1:]] == [False, False]
    fleet.kubectl.run("delete", "statefulroute", "game", "--timeout=30s").expect_success()
    fleet.await_annotations(KINDS[kind], "game", workload_state=None, workload_load=None, workload_time=None)
    for pod in pods:
        fleet.await_annotations(Pod, pod, weighted_load=None, load_state="4")
        assert COST not in fleet.annotations(Pod, pod)


def test_pod_without_an_index_may_be_drained_by_its_name(service: Service) -> None:
    start(service, "Deployment")
    drained, *others = pods_of(service)
    own = service.link("own", podName=drained)
    service.await_bound(own)
    service.edit_route(namedPods=[{"name": drained, "routingState": "DenyNewCall"}])
    service.await_pod(drained, routingState="DenyNewCall")
    names = service.link_all(f"user-{number}" for number in range(4))
    assert {service.await_bound(name)["podName"] for name in names} == set(others)
    assert service.get(own)["spec"]["podName"] == drained
    service.annotate(drained, SHUT_DOWN)
    assert service.await_moved(own, drained)["podName"] in others


def test_every_link_is_on_an_existing_pod_after_a_rollout(service: Service) -> None:
    start(service, "Deployment")
    before = set(pods_of(service))
    names = service.link_all(f"user-{number}" for number in range(12))
    service.await_all_bound(12)
    service.kubectl.run("rollout", "restart", "deployment/game").expect_success()
    service.kubectl.run("rollout", "status", "deployment/game", "--timeout=50s").expect_success()
    eventually(lambda: not before & {link["spec"]["podName"] for link in service.links()}, "all have moved")
    service.await_all_bound(12)
    eventually(
        lambda: len(pods_of(service)) == 3 and not before & set(pods_of(service)), "the route lists the new pods"
    )
    assert {service.get(name)["status"]["podName"] for name in names} <= set(pods_of(service))
    assert {service.get(name)["status"]["previous"]["reason"] for name in names} == {"PodLost"}


def test_link_that_names_its_pod_in_the_wrong_way_waits_and_explains_the_right_one(service: Service) -> None:
    start(service, "Deployment")
    by_index = service.link("by-index", podIndex=0)
    service.await_link(by_index, "Pending", "PodNotFound")
    message = "StatefulRoute 'game' has no pod of index 0 now: its pods are named by podName"
    assert condition_of(service.get(by_index))["message"] == message
    change = {"spec": {"podIndex": None, "podName": pods_of(service)[1]}}
    service.client.patch(PodLink, by_index, service.namespace, change)
    assert service.await_bound(by_index)["podName"] == pods_of(service)[1]
    other = Service(service.kubectl, service.client, "other")
    other.start(1, onPodLost={"graceSeconds": A_DAY})
    by_name = other.link("by-name", podName="other-0")
    other.await_link(by_name, "Pending", "PodNotFound")
    message = "StatefulRoute 'other' has no pod of name 'other-0' now: write podIndex: 0"
    assert condition_of(other.get(by_name))["message"] == message


def test_workload_that_is_created_after_its_route_is_found_with_a_long_period(service: Service) -> None:
    service.create_route(workloadRef={"kind": "Deployment"}, statePeriodSeconds=A_DAY)
    missing = f"Deployment 'game' does not exist in namespace '{service.namespace}'"
    service.await_condition("WorkloadFound", "False", "WorkloadNotFound", missing)
    waiting = service.link("early")
    service.await_link(waiting, "Pending", "WorkloadNotFound")
    service.create_workload("Deployment", 2)
    service.await_pods(2)
    assert service.await_bound(waiting)["podName"] in pods_of(service)
    service.kubectl.run("delete", "deployment", "game").expect_success()
    service.await_condition("WorkloadFound", "False", "WorkloadNotFound", missing)


def test_stateful_set_may_start_at_another_ordinal(service: Service) -> None:
    service.create_pods(3, ordinals={"start": 5})
    service.create_route(onPodLost={"graceSeconds": A_DAY})
    service.await_pods(3)
    assert [pod["index"] for pod in service.route_status()["pods"]] == [5, 6, 7]
    first, below = service.link("first"), service.link("below", podIndex=2)
    assert service.await_bound(first)["podIndex"] == 5
    service.await_link(below, "Pending", "PodNotFound")
    service.kubectl.patch("statefulset", "game", {"spec": {"ordinals": {"start": 6}}}).expect_success()
    service.await_moved(first, 5)
    eventually(lambda: [pod["index"] for pod in service.route_status()["pods"]] == [6, 7, 8], "its pods have moved up")


class Crew(pykube.objects.NamespacedAPIObject):
    """A workload of a custom kind."""

    version = "example.com/v1"
    kind = "Crew"
    endpoint = "crews"


@pytest.fixture(scope="module")
def crews(installed: Kubectl) -> Iterator[Kubectl]:
    """A kubectl for the cluster with the kind Crew; its version `v1alpha1` has no selector in its scale."""
    whole = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    names = {"plural": "crews", "singular": "crew", "kind": "Crew", "listKind": "CrewList"}
    versions = [
        {"name": name, "served": True, "storage": name == "v1", "schema": schema, "subresources": subresources}
        for name, subresources in {
            "v1": {"status": {}, "scale": {**whole, "labelSelectorPath": ".status.selector"}},
            "v1alpha1": {"scale": whole},
        }.items()
    ]
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "crews.example.com"},
        "spec": {"group": "example.com", "names": names, "scope": "Namespaced", "versions": versions},
    }
    installed.create(definition)
    installed.run("wait", "--for=condition=Established", "--timeout=30s", "crd/crews.example.com").expect_success()
    eventually(lambda: not installed.run("get", "crews.example.com").code, "crews can be listed")
    yield installed
    installed.run("delete", "crd", "crews.example.com").expect_success()


def make_crew(service: Service, replicas: int) -> None:
    """Make a Crew of the service's name; its controller, who makes its pods, is the test."""
    metadata = {"name": service.name, "namespace": service.namespace}
    spec = {"replicas": replicas}
    crew = Crew(service.client.http, {"apiVersion": Crew.version, "kind": "Crew", "metadata": metadata, "spec": spec})
    crew.create()
    crew.patch(
        {"status": {"selector": f"app={service.name},tier in (front,back)", "replicas": 0}}, subresource="status"
    )


def make_member(service: Service, name: str, tier: str = "front") -> None:
    """Make one pod of the crew."""
    template = service.pod_template()
    metadata = {"name": name, "labels": {**template["metadata"]["labels"], "tier": tier}}
    service.client.create(
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}, service.namespace
    )


@pytest.mark.usefixtures("crews")
def test_custom_resource_with_a_scale_is_routed_to(service: Service) -> None:
    reference = {"apiVersion": "example.com/v1", "kind": "Crew"}
    make_crew(service, 2)
    for name, tier in (("ann", "front"), ("ben", "back"), ("zoe", "outside")):
        make_member(service, name, tier)
    service.create_route(workloadRef=reference, workloadPeriodSeconds=1, onPodLost={"graceSeconds": A_DAY})
    service.await_pods(2)
    assert pods_of(service) == ["ann", "ben"]
    own, other = service.link("own", podName="ben"), service.link("other")
    service.await_bound(own)
    assert service.await_bound(other)["podName"] == "ann"
    service.report("ann", 1, 1)
    service.report("ben", 1, 1)
    service.await_status(workloadState="Normal")
    service.await_annotations(Crew, "game", workload_state="Normal", workload_load="1")
    service.kubectl.run("scale", "crew", "game", "--replicas=3").expect_success()
    make_member(service, "cyd")
    service.await_pods(3)
    service.client.delete(Pod, "ben", service.namespace)
    service.await_moved(own, "ben")
    assert service.get(other)["spec"]["podName"] == "ann"
    assert COST not in service.annotations(Pod, "ann")
    service.client.delete(StatefulRoute, "game", service.namespace)
    service.await_annotations(Crew, "game", workload_state=None, workload_load=None, workload_time=None)


NOT_ROUTABLE = {
    "a kind that is not known": (
        "example.com/v1",
        "Crow",
        "Kind Crow of example.com/v1 is not known to the API server",
    ),
    "a version that is not known": (
        "apps/v7",
        "Deployment",
        "Kind Deployment of apps/v7 is not known to the API server",
    ),
    "a version that is none": (
        "apps/v1/../v1",
        "Deployment",
        "Kind Deployment of apps/v1/../v1 is not known to the API server",
    ),
    "a kind without a scale": ("v1", "ConfigMap", "Kind ConfigMap of v1 has no scale subresource"),
    "a kind of no namespace": ("v1", "Node", "Kind Node of v1 is not namespaced"),
    "a scale without labels": (
        "example.com/v1alpha1",
        "Crew",
        "the scale of Crew 'game' has no label selector, so its pods are not known",
    ),
}


@pytest.mark.usefixtures("crews")
def test_condition_explains_why_a_workload_cannot_be_routed_to(service: Service) -> None:
    make_crew(service, 1)
    service.create_route()
    waiting = service.link("alice")
    for api_version, kind, why in NOT_ROUTABLE.values():
        service.edit_route(workloadRef={"apiVersion": api_version, "kind": kind})
        service.await_condition("WorkloadFound", "False", "WorkloadKindNotSupported", why)
        assert service.condition("Ready") == ("False", "WorkloadKindNotSupported", why)
        eventually(lambda why=why: condition_of(service.get(waiting)).get("message") == why, "the link reports it, too")
