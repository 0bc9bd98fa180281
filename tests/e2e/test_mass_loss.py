"""Losses are suspended while a large part of a service looks lost, until the part falls or a person confirms it."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from pykube.objects import Pod

from localcluster import LocalCluster
from support.independent_client import PodLink, StatefulRoute
from support.kubectl import Kubectl
from support.link_recorder import LinkRecorder
from support.service import Service, condition_of
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator", "quiet_cluster")

#: More than it takes to make all nodes not ready.
GRACE_SECONDS = 5

USERS = 30
PODS = 3


@pytest.fixture
def game(shared_service: Service, cluster: LocalCluster) -> Iterator[Service]:
    """The shared service, whose links are deleted when one of its pods is lost for some seconds."""
    if cluster.provider not in {"builtin", "envtest"}:
        pytest.skip("this cluster's nodes cannot be changed by the test")
    shared_service.set_on_pod_lost("Release", GRACE_SECONDS)
    yield shared_service
    shared_service.edit_route(onPodLost=None)
    shared_service.client.delete_all(PodLink, shared_service.namespace)
    eventually(lambda: not shared_service.links(), "the links are gone")
    shared_service.await_pods(PODS)
    shared_service.await_condition("LossSuspended", "False", "NoLossSuspended")


@contextmanager
def all_nodes_not_ready(kubectl: Kubectl, cluster: LocalCluster) -> Iterator[None]:
    """Makes all nodes not ready while kwok is frozen, which would restore them; the pods on them stay Ready."""
    kwok = cluster.part("kwok")
    kwok.kill(signal.SIGSTOP)
    nodes = [node["metadata"]["name"] for node in kubectl.get_json("nodes")["items"]]
    change = {"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]}}
    options = ("--type=strategic", f"--patch={json.dumps(change)}", "--subresource=status")
    try:
        for node in nodes:
            kubectl.run("patch", "node", node, *options).expect_success()
        yield
    finally:
        kwok.kill(signal.SIGCONT)
    kubectl.run("wait", "--for=condition=Ready", "--timeout=50s", "nodes", "--all").expect_success()


@contextmanager
def all_pods_missing(game: Service) -> Iterator[None]:
    """Deletes all pods in a namespace whose quota allows no other."""
    with game.pod_quota(0):
        for index in range(PODS):
            game.client.delete(Pod, game.pod_name(index), game.namespace)
        yield


def link_users(game: Service) -> list[str]:
    """Creates the links of users of all pods."""
    names = [game.link(f"user-{number}", podIndex=number % PODS) for number in range(USERS)]
    game.await_all_bound(USERS)
    return names


def assert_untouched(history: LinkRecorder, names: list[str]) -> None:
    """Asserts that the links were bound, and not written since then."""
    assert history.transitions_of(names) == {name: ["created", "Bound"] for name in names}


def confirm(game: Service, time: datetime) -> None:
    """Confirms the losses that began before a time."""
    annotations = {"statefulroute.io/loss-confirmed-at": time.isoformat()}
    game.client.patch(StatefulRoute, "game", game.namespace, {"metadata": {"annotations": annotations}})


def events_of_route(game: Service) -> list[tuple[str, str]]:
    """Returns type and reason of the events of the route about suspended losses."""
    events = [(each["type"], each["reason"]) for each in game.events("StatefulRoute")]
    return [each for each in events if each[1] in {"LossSuspended", "LossResumed"}]


def test_links_stay_while_all_nodes_are_not_ready(game: Service, cluster: LocalCluster, history: LinkRecorder) -> None:
    names = link_users(game)
    events = events_of_route(game)
    with all_nodes_not_ready(game.kubectl, cluster):
        game.await_condition("LossSuspended", "True", "NodesLost")
        message = condition_of(game.route(), "LossSuspended")["message"]
        assert message.startswith("3 of 3 nodes with its pods are lost, more than 55 %: no link is moved,")
        assert message.endswith(f"(kubectl statefulroute confirm-loss game -n {game.namespace})")
        game.await_link(game.link("nowhere", podIndex=PODS + 4), "Pending", "PodNotFound")
    game.await_condition("LossSuspended", "False", "NoLossSuspended")
    assert_untouched(history, names)
    expected = [*events, ("Warning", "LossSuspended"), ("Normal", "LossResumed")]
    eventually(lambda: events_of_route(game) == expected, "the route has the events")


def test_losses_that_are_confirmed_take_effect_and_later_ones_do_not(game: Service, history: LinkRecorder) -> None:
    names = link_users(game)
    before = datetime.now(UTC)
    with all_pods_missing(game):
        game.await_condition("LossSuspended", "True", "PodsLost")
        confirm(game, before)
        game.await_link(game.link("nowhere", podIndex=PODS + 4), "Pending", "PodNotFound")
        assert_untouched(history, names)
        confirm(game, datetime.now(UTC))
        game.await_deleted(*names)
        game.await_condition("LossSuspended", "False", "NoLossSuspended")
    game.await_pods(PODS)
    names = link_users(game)
    with all_pods_missing(game):
        game.await_condition("LossSuspended", "True", "PodsLost")
    game.await_condition("LossSuspended", "False", "NoLossSuspended")
    game.await_all_bound(USERS)
    assert {name: each[-1] for name, each in history.transitions_of(names).items()} == dict.fromkeys(names, "Bound")
