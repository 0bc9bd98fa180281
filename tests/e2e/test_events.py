"""Events of links: one for each change, shown by kubectl."""

import pytest

from support.admission import is_admitted, without_policy
from support.independent_client import PodLink
from support.kubectl import Kubectl
from support.objects import pod_link
from support.service import NO_ROUTING_STATE, SHUT_DOWN, Service
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator")

BOUND = ("Normal", "Bound", "bound to pod 'game-0'")


def test_kubectl_shows_the_events_of_a_link(shared_service: Service) -> None:
    shared_service.set_on_pod_lost("Rebind")
    name = shared_service.link("alice", podIndex=0)
    shared_service.await_bound(name)
    shared_service.kubectl.patch("podlink", name, {"spec": {"podIndex": 2}}).expect_success()
    shared_service.await_bound(name)
    shared_service.annotate(2, SHUT_DOWN)
    eventually(lambda: shared_service.get(name)["spec"]["podIndex"] != 2, "it is moved")
    last = shared_service.await_bound(name)["podName"]
    events = [
        ("Normal", "Bound", "bound to pod 'game-0'"),
        ("Normal", "Moved", "moved from pod 'game-0' to pod 'game-2'"),
        ("Warning", "PodLost", f"moved from pod 'game-2' to pod '{last}': Shutdown"),
    ]
    shared_service.await_events(name, *events)
    shared_service.annotate(2, NO_ROUTING_STATE)
    for command in (("events", "--for", f"podlink/{name}"), ("describe", "podlink", name)):
        shown = shared_service.kubectl.run(*command).expect_success().stdout
        assert [event for event in events if not is_shown(event, shown)] == [], shown


def test_event_names_its_reporter_and_its_object(shared_service: Service) -> None:
    name = shared_service.link("bob", podIndex=0)
    shared_service.await_bound(name)
    eventually(lambda: shared_service.events_of(name), "the event is recorded")
    event = next(event for event in shared_service.events() if event["regarding"]["name"] == name)
    assert event["reportingController"] == "statefulroute.io/operator"
    assert event["reportingInstance"]
    assert event["action"] == "Bind"
    assert event["regarding"] == {
        "apiVersion": "statefulroute.io/v1alpha1",
        "kind": "PodLink",
        "namespace": shared_service.namespace,
        "name": name,
        "uid": shared_service.get(name)["metadata"]["uid"],
    }


def test_rejection_is_an_event(shared_service: Service, installed: Kubectl) -> None:
    with without_policy(shared_service, installed):
        eventually(
            lambda: is_admitted(shared_service, pod_link(uid="carol", namespace="kube-system")), "the link is stored"
        )
    shared_service.await_link("game.carol", "Rejected", "NotLocalNamespace")
    shared_service.await_events("game.carol", ("Warning", "NotLocalNamespace", "only local namespace is supported"))


def test_waiting_link_has_no_event_until_it_is_bound(shared_service: Service) -> None:
    shared_service.annotate(2, {"localcluster/ready": "false"})
    shared_service.await_pod(2, serviceState="NotReady")
    name = shared_service.link("dora", podIndex=2)
    shared_service.await_link(name, "Pending", "PodNotRoutable")
    shared_service.annotate(2, {"localcluster/ready": None})
    shared_service.await_bound(name)
    shared_service.await_events(name, ("Normal", "Bound", "bound to pod 'game-2'"))


def test_event_is_not_repeated(shared_service: Service) -> None:
    shared_service.set_on_pod_lost("Keep")
    name = shared_service.link("eve", podIndex=2)
    shared_service.await_bound(name)
    for _ in range(3):
        shared_service.annotate(2, SHUT_DOWN)
        shared_service.await_link(name, "Lost", "PodLost")
        shared_service.annotate(2, NO_ROUTING_STATE)
        shared_service.await_bound(name)
    shared_service.client.patch_status(PodLink, name, shared_service.namespace, {"host": "elsewhere.invalid"})
    eventually(lambda: shared_service.get(name)["status"]["host"] != "elsewhere.invalid", "its host is restored")
    later = shared_service.link("after-eve", podIndex=0)
    shared_service.await_events(later, BOUND)
    assert shared_service.events_of(name) == [
        ("Normal", "Bound", "bound to pod 'game-2'"),
        ("Warning", "PodLost", "pod 'game-2' of StatefulRoute 'game' is shut down (Shutdown)"),
    ]


def test_link_that_is_created_again_has_its_own_events(shared_service: Service) -> None:
    name = shared_service.link("fay", podIndex=0)
    shared_service.await_bound(name)
    shared_service.await_events(name, BOUND)
    shared_service.client.delete(PodLink, name, shared_service.namespace)
    shared_service.link("fay", podIndex=0)
    shared_service.await_bound(name)
    later = shared_service.link("after-fay", podIndex=0)
    shared_service.await_events(later, BOUND)
    assert shared_service.events_of(name) == [BOUND, BOUND]


def is_shown(event: tuple[str, str, str], text: str) -> bool:
    """Returns whether a line of kubectl's table contains the type, the reason and the note of an event."""
    kind, reason, note = event
    return any({kind, reason} <= {*line.split()} and line.endswith(note) for line in text.splitlines())
