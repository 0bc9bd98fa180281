"""What happens to a link is told in events, once, where people look for it."""

import pytest

from support.admission import is_admitted, without_policy
from support.independent_client import PodLink
from support.kubectl import Kubectl
from support.objects import pod_link
from support.service import NO_ROUTING_STATE, SHUT_DOWN, Service
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator")

BOUND = ("Normal", "Bound", "bound to pod 'game-0'")


def test_people_see_a_links_life_where_they_look_for_it(shared_service: Service) -> None:
    shared_service.set_on_pod_lost("Rebind")
    name = shared_service.link("alice", podIndex=0)
    shared_service.await_bound(name)
    shared_service.kubectl.patch("podlink", name, {"spec": {"podIndex": 2}}).expect_success()
    shared_service.await_bound(name)
    shared_service.annotate(2, SHUT_DOWN)
    eventually(lambda: shared_service.get(name)["spec"]["podIndex"] != 2, "it is moved")
    last = shared_service.await_bound(name)["podName"]
    told = [
        ("Normal", "Bound", "bound to pod 'game-0'"),
        ("Normal", "Moved", "moved from pod 0 to pod 'game-2'"),
        ("Warning", "PodLost", f"moved from pod 2 to pod '{last}'"),
    ]
    shared_service.await_events(name, *told)
    shared_service.annotate(2, NO_ROUTING_STATE)
    for command in (("events", "--for", f"podlink/{name}"), ("describe", "podlink", name)):
        shown = shared_service.kubectl.run(*command).expect_success().stdout
        assert [line for line in told if not is_shown(line, shown)] == [], shown


def test_an_event_says_who_tells_it_of_what(shared_service: Service) -> None:
    name = shared_service.link("bob", podIndex=0)
    shared_service.await_bound(name)
    eventually(lambda: shared_service.events_of(name), "it is told")
    event = next(each for each in shared_service.events() if each["regarding"]["name"] == name)
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


def test_a_refusal_is_told(shared_service: Service, installed: Kubectl) -> None:
    with without_policy(shared_service, installed):
        eventually(lambda: is_admitted(shared_service, pod_link(uid="carol", namespace="kube-system")), "it gets in")
    shared_service.await_link("game.carol", "Rejected", "NotLocalNamespace")
    shared_service.await_events("game.carol", ("Warning", "NotLocalNamespace", "only local namespace is supported"))


def test_a_link_that_waits_is_no_news_and_one_that_is_bound_then_is(shared_service: Service) -> None:
    shared_service.annotate(2, {"localcluster/ready": "false"})
    shared_service.await_pod(2, serviceState="NotReady")
    name = shared_service.link("dora", podIndex=2)
    shared_service.await_link(name, "Pending", "PodNotRoutable")
    shared_service.annotate(2, {"localcluster/ready": None})
    shared_service.await_bound(name)
    shared_service.await_events(name, ("Normal", "Bound", "bound to pod 'game-2'"))


def test_the_same_is_not_told_twice(shared_service: Service) -> None:
    shared_service.set_on_pod_lost("Keep")
    name = shared_service.link("eve", podIndex=2)
    shared_service.await_bound(name)
    for _ in range(3):
        shared_service.annotate(2, SHUT_DOWN)
        shared_service.await_link(name, "Lost", "PodLost")
        shared_service.annotate(2, NO_ROUTING_STATE)
        shared_service.await_bound(name)
    shared_service.client.patch_status(PodLink, name, shared_service.namespace, {"host": "elsewhere.invalid"})
    eventually(lambda: shared_service.get(name)["status"]["host"] != "elsewhere.invalid", "its host is right again")
    later = shared_service.link("after-eve", podIndex=0)
    shared_service.await_events(later, BOUND)
    assert shared_service.events_of(name) == [
        ("Normal", "Bound", "bound to pod 'game-2'"),
        ("Warning", "PodLost", "pod 2 of StatefulRoute 'game' is shut down"),
    ]


def test_a_link_that_is_made_anew_has_events_of_its_own(shared_service: Service) -> None:
    name = shared_service.link("fay", podIndex=0)
    shared_service.await_bound(name)
    shared_service.await_events(name, BOUND)
    shared_service.client.delete(PodLink, name, shared_service.namespace)
    shared_service.link("fay", podIndex=0)
    shared_service.await_bound(name)
    later = shared_service.link("after-fay", podIndex=0)
    shared_service.await_events(later, BOUND)
    assert shared_service.events_of(name) == [BOUND, BOUND]


def is_shown(told: tuple[str, str, str], text: str) -> bool:
    """Whether a line of kubectl's table holds the type, the reason and the note."""
    kind, reason, note = told
    return any({kind, reason} <= {*line.split()} and line.endswith(note) for line in text.splitlines())
