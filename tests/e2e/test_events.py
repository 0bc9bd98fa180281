"""What happens to a link is told in events, once, where people look for it."""

import pytest

from harness.admission import slips_in, unguarded
from harness.kubectl import Kubectl
from harness.objects import pod_link
from harness.patience import eventually
from harness.service import SAYS_NOTHING, SHUT_DOWN, Service
from harness.witness import PodLink

pytestmark = pytest.mark.usefixtures("operator")

BOUND = ("Normal", "Bound", "bound to pod 'game-0'")


def test_people_see_a_links_life_where_they_look_for_it(standing: Service) -> None:
    standing.on_pod_lost("Rebind")
    name = standing.link("alice", podIndex=0)
    standing.await_bound(name)
    standing.kubectl.patch("podlink", name, {"spec": {"podIndex": 2}}).expect_success()
    standing.await_bound(name)
    standing.annotate(2, SHUT_DOWN)
    eventually(lambda: standing.get(name)["spec"]["podIndex"] != 2, "it is moved")
    last = standing.await_bound(name)["podName"]
    told = [
        ("Normal", "Bound", "bound to pod 'game-0'"),
        ("Normal", "Moved", "moved from pod 0 to pod 'game-2'"),
        ("Warning", "PodLost", f"moved from pod 2 to pod '{last}'"),
    ]
    standing.await_news(name, *told)
    standing.annotate(2, SAYS_NOTHING)
    for command in (("events", "--for", f"podlink/{name}"), ("describe", "podlink", name)):
        shown = standing.kubectl.run(*command).expect_success().stdout
        assert [line for line in told if not is_shown(line, shown)] == [], shown


def test_an_event_says_who_tells_it_of_what(standing: Service) -> None:
    name = standing.link("bob", podIndex=0)
    standing.await_bound(name)
    eventually(lambda: standing.news(name), "it is told")
    event = next(each for each in standing.events() if each["regarding"]["name"] == name)
    assert event["reportingController"] == "statefulroute.io/operator"
    assert event["reportingInstance"]
    assert event["action"] == "Bind"
    assert event["regarding"] == {
        "apiVersion": "statefulroute.io/v1alpha1",
        "kind": "PodLink",
        "namespace": standing.namespace,
        "name": name,
        "uid": standing.get(name)["metadata"]["uid"],
    }


def test_a_refusal_is_told(standing: Service, installed: Kubectl) -> None:
    with unguarded(standing, installed):
        eventually(lambda: slips_in(standing, pod_link(uid="carol", namespace="kube-system")), "it gets in")
    standing.await_link("game.carol", "Rejected", "NotLocalNamespace")
    standing.await_news("game.carol", ("Warning", "NotLocalNamespace", "only local namespace is supported"))


def test_a_link_that_waits_is_no_news_and_one_that_is_bound_then_is(standing: Service) -> None:
    standing.annotate(2, {"localcluster/ready": "false"})
    standing.await_pod(2, serviceState="NotReady")
    name = standing.link("dora", podIndex=2)
    standing.await_link(name, "Pending", "PodNotRoutable")
    standing.annotate(2, {"localcluster/ready": None})
    standing.await_bound(name)
    standing.await_news(name, ("Normal", "Bound", "bound to pod 'game-2'"))


def test_the_same_is_not_told_twice(standing: Service) -> None:
    standing.on_pod_lost("Keep")
    name = standing.link("eve", podIndex=2)
    standing.await_bound(name)
    for _ in range(3):
        standing.annotate(2, SHUT_DOWN)
        standing.await_link(name, "Lost", "PodLost")
        standing.annotate(2, SAYS_NOTHING)
        standing.await_bound(name)
    standing.witness.patch_status(PodLink, name, standing.namespace, {"host": "elsewhere.invalid"})
    eventually(lambda: standing.get(name)["status"]["host"] != "elsewhere.invalid", "its host is right again")
    later = standing.link("after-eve", podIndex=0)
    standing.await_news(later, BOUND)
    assert standing.news(name) == [
        ("Normal", "Bound", "bound to pod 'game-2'"),
        ("Warning", "PodLost", "pod 2 of StatefulRoute 'game' is shut down"),
    ]


def test_a_link_that_is_made_anew_has_events_of_its_own(standing: Service) -> None:
    name = standing.link("fay", podIndex=0)
    standing.await_bound(name)
    standing.await_news(name, BOUND)
    standing.witness.delete(PodLink, name, standing.namespace)
    standing.link("fay", podIndex=0)
    standing.await_bound(name)
    later = standing.link("after-fay", podIndex=0)
    standing.await_news(later, BOUND)
    assert standing.news(name) == [BOUND, BOUND]


def is_shown(told: tuple[str, str, str], text: str) -> bool:
    """Whether a line of kubectl's table holds the type, the reason and the note."""
    kind, reason, note = told
    return any({kind, reason} <= {*line.split()} and line.endswith(note) for line in text.splitlines())
