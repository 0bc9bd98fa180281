"""Links whose pod does not serve its users: the route shows them at once, and no link is written for it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pykube.objects import Pod

from support.independent_client import PodLink
from support.link_recorder import LinkRecorder
from support.service import NO_ROUTING_STATE, NOT_READY, READY, SHUT_DOWN, Service
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator")

#: A template by which the scheduler finds no node for new pods.
NOWHERE = {"spec": {"template": {"spec": {"nodeSelector": {"example.com/none": "true"}}}}}

#: A template whose new pods have a node and never start.
HELD = {"spec": {"template": {"metadata": {"annotations": {"localcluster/hold": "true"}}}}}


@pytest.fixture
def game(service: Service) -> Service:
    """A service with three links, two of them on pod 1, that keeps its links on lost pods for an hour."""
    service.create_pods(updateStrategy={"type": "OnDelete"})
    service.create_route(onPodLost={"graceSeconds": 3600})
    service.await_pods(3)
    service.link_each({"alice": {"podIndex": 0}, "bob": {"podIndex": 1}, "carol": {"podIndex": 1}})
    service.await_all_bound(3)
    service.await_status(links=3)
    return service


@contextmanager
def no_link_is_written(recorder: LinkRecorder) -> Iterator[None]:
    """Fails if a link is written in the context."""
    before = recorder.all_transitions()
    yield
    assert recorder.all_transitions() == before


def assert_unserved(game: Service, reason: str) -> None:
    """Waits until the route shows that pod 1 does not serve its two users, for this reason."""
    game.await_status(links=3, unservedLinks=2)
    game.await_pod(1, notServingReason=reason)
    message = f"2 of 3 links are not served now: 2 on game-1 ({reason})"
    game.await_condition("LinksServed", "False", "PodsNotServing", message)


def assert_served(game: Service) -> None:
    game.await_status(links=3, unservedLinks=0)
    game.await_condition("LinksServed", "True", "LinksServed", "the pods of all 3 links serve their users")
    assert all("notServingReason" not in pod for pod in game.route_status()["pods"])


def test_links_of_a_pod_that_is_not_ready_are_unserved_until_it_is(game: Service, recorder: LinkRecorder) -> None:
    assert_served(game)
    with no_link_is_written(recorder):
        game.annotate(1, NOT_READY)
        assert_unserved(game, "ContainersNotReady")
        game.annotate(1, READY)
        assert_served(game)
    assert {link["status"]["phase"] for link in game.links()} == {"Bound"}


@pytest.mark.parametrize(
    ("template", "reason"), [(NOWHERE, "Unschedulable"), (HELD, "Pending")], ids=["unschedulable", "held"]
)
def test_links_of_a_pod_that_does_not_start_are_unserved_with_its_reason(
    game: Service, recorder: LinkRecorder, template: dict[str, object], reason: str
) -> None:
    game.kubectl.run("patch", "statefulset", "game", f"--patch={json.dumps(template)}").expect_success()
    with no_link_is_written(recorder):
        game.kubectl.run("delete", "pod", "game-1", "--wait=false").expect_success()
        assert_unserved(game, reason)


def test_links_of_a_missing_pod_are_unserved(game: Service) -> None:
    with game.pod_quota(2):
        game.client.delete(Pod, "game-1", game.namespace)
        game.await_status(links=3, unservedLinks=2)
        message = "2 of 3 links are not served now: 2 on game-1 (PodNotFound)"
        game.await_condition("LinksServed", "False", "PodsNotServing", message)
    assert_served(game)


def test_links_that_wait_for_their_pod_or_are_lost_are_unserved_too(game: Service) -> None:
    game.await_link(game.link("dave", podIndex=7), "Pending", "PodNotFound")
    game.await_status(links=4, unservedLinks=1)
    game.edit_route(onPodLost={"action": "Keep"})
    game.annotate(1, SHUT_DOWN)
    game.await_link("game.bob", "Lost", "PodLost")
    game.await_status(links=4, unservedLinks=3)
    game.await_pod(1, notServingReason="Shutdown")
    game.annotate(1, NO_ROUTING_STATE)
    game.client.delete(PodLink, "game.dave", game.namespace)
    assert_served(game)


def test_links_of_a_deleted_workload_are_unserved(game: Service) -> None:
    game.kubectl.run("delete", "statefulset", "game").expect_success()
    game.await_status(links=3, unservedLinks=3)
    message = "3 of 3 links are not served now: 1 on game-0 (WorkloadNotFound), 2 on game-1 (WorkloadNotFound)"
    game.await_condition("LinksServed", "False", "PodsNotServing", message)


def test_kubectl_lists_and_awaits_unserved_links(game: Service) -> None:
    game.annotate(1, NOT_READY)
    wait = ("wait", "statefulroute/game", "--timeout=30s")
    game.kubectl.run(*wait, "--for=condition=LinksServed=False").expect_success()
    game.kubectl.run(*wait, "--for=jsonpath={.status.unservedLinks}=2").expect_success()
    header, row = game.kubectl.run("get", "statefulroutes").expect_success().stdout.splitlines()
    assert row[header.index("UNSERVED") :].split()[0] == "2"
    game.annotate(1, READY)
    eventually(
        lambda: not game.kubectl.run(*wait[:2], "--for=condition=LinksServed", "--timeout=1s").code,
        "all links are served",
    )
