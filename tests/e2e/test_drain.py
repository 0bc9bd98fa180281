"""Pods are drained by their route, by an override of the route, by themselves, and by their deletion.

The periods are a day, so that every change has to take effect at once.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count

import pytest
from pykube.objects import Pod

from support.independent_client import PodLink
from support.service import DENY_NEW_CALLS, NO_ROUTING_STATE, SHUT_DOWN, Service
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator", "quiet_cluster")

A_DAY = 86_400

_numbers = count()


@pytest.fixture(scope="module")
def rarely_polled(shared_service: Service) -> Service:
    """The shared service with periods of a day and a grace period of a day."""
    shared_service.edit_route(statePeriodSeconds=A_DAY, workloadPeriodSeconds=A_DAY, onPodLost={"graceSeconds": A_DAY})
    shared_service.await_observed()
    return shared_service


@pytest.fixture
def game(rarely_polled: Service) -> Iterator[Service]:
    """The service; its links are deleted after each test."""
    yield rarely_polled
    rarely_polled.client.delete_all(PodLink, rarely_polled.namespace)
    eventually(lambda: not rarely_polled.links(), "the links are gone")
    rarely_polled.await_status(links=0, routablePods=3, readyReplicas=3, bestPodIndex=0)


@contextmanager
def by_override_of_index(game: Service, state: str) -> Iterator[None]:
    game.edit_route(pods=[{"index": 1, "routingState": state}])
    yield
    game.edit_route(pods=None)


@contextmanager
def by_override_of_name(game: Service, state: str) -> Iterator[None]:
    game.edit_route(namedPods=[{"name": "game-1", "routingState": state}])
    yield
    game.edit_route(namedPods=None)


@contextmanager
def by_annotation(game: Service, state: str) -> Iterator[None]:
    game.annotate(1, {"statefulroute.io/routing-state": state})
    yield
    game.annotate(1, NO_ROUTING_STATE)


@contextmanager
def by_deletion(game: Service, _state: str) -> Iterator[None]:
    """Deletes the pod, which is Ready until its grace period is over."""
    game.client.patch(Pod, "game-1", game.namespace, {"metadata": {"finalizers": ["example.com/hold"]}})
    game.client.delete(Pod, "game-1", game.namespace)
    yield
    game.client.patch(Pod, "game-1", game.namespace, {"metadata": {"finalizers": None}})


DrainMethod = Callable[[Service, str], AbstractContextManager[None]]
ROUTING_STATES: tuple[DrainMethod, ...] = (by_override_of_index, by_override_of_name, by_annotation)


@pytest.mark.parametrize("drain", [*ROUTING_STATES, by_deletion], ids=lambda drain: drain.__name__)
def test_drained_pod_keeps_its_users_and_takes_no_new_ones(drain: DrainMethod, game: Service) -> None:
    own, leaving = [game.link(f"own-{next(_numbers)}", podIndex=1) for _ in range(2)]
    game.await_all_bound(2)
    versions = {name: game.get(name)["metadata"]["resourceVersion"] for name in (own, leaving)}
    with drain(game, "DenyNewCall"):
        game.await_pod(1, routingState="DenyNewCall", links=2)
        game.await_status(routablePods=3)
        names = game.link_all(f"new-{next(_numbers)}" for _ in range(6))
        assert {game.await_bound(name)["podIndex"] for name in names} == {0, 2}
        assert {name: game.get(name)["metadata"]["resourceVersion"] for name in versions} == versions
        named = game.link(f"named-{next(_numbers)}", podIndex=1)
        game.await_bound(named)
        for name, left in ((leaving, 2), (named, 1), (own, 0)):
            game.client.delete(PodLink, name, game.namespace)
            if left != 1:  # two statuses are not written within one second
                game.await_pod(1, links=left)


def test_kubectl_waits_until_the_last_user_of_a_pod_has_left(game: Service) -> None:
    name = game.link("last", podIndex=1)
    game.await_bound(name)
    game.await_pod(1, links=1)
    wait = ("wait", '--for=jsonpath={.status.pods[?(@.name=="game-1")].links}=0', "statefulroute/game")
    with by_annotation(game, "DenyNewCall"):
        assert "timed out" in game.kubectl.run(*wait, "--timeout=1s").stderr
        game.client.delete(PodLink, name, game.namespace)
        game.kubectl.run(*wait, "--timeout=20s").expect_success()


@pytest.mark.parametrize("drain", ROUTING_STATES, ids=lambda drain: drain.__name__)
def test_shut_down_pod_loses_its_users_at_once(drain: DrainMethod, game: Service) -> None:
    names = [game.link(f"own-{next(_numbers)}", podIndex=1) for _ in range(4)]
    game.await_all_bound(4)
    with drain(game, "Shutdown"):
        moved = [game.await_moved(name, 1)["podIndex"] for name in names]
        assert sorted(moved) == [0, 0, 2, 2]
        game.await_pod(1, routingState="Shutdown", links=0)
        game.await_status(routablePods=2)


def test_service_keeps_its_users_while_it_denies_new_calls_and_loses_them_when_shut_down(game: Service) -> None:
    own = game.link("own", podIndex=2)
    game.await_bound(own)
    game.edit_route(routingState="DenyNewCall")
    game.await_status(routingState="DenyNewCall", bestPodIndex=None, bestPodName=None, routablePods=3)
    waiting = game.link("waiting")
    game.await_link(waiting, "Pending", "NoAvailablePod")
    game.await_bound(own)
    game.edit_route(routingState="Shutdown")
    game.await_link(own, "Lost", "PodLost")
    game.await_status(routablePods=0)
    game.edit_route(routingState="Ready")
    assert game.await_bound(own)["podIndex"] == 2
    game.await_bound(waiting)


def test_most_restrictive_routing_state_counts(game: Service) -> None:
    own = game.link("own", podIndex=1)
    game.await_bound(own)
    with by_annotation(game, "Ready"), by_override_of_index(game, "DenyNewCall"):
        game.await_pod(1, routingState="DenyNewCall")
        with by_override_of_name(game, "Ready"):
            game.await_status(observedGeneration=game.route()["metadata"]["generation"])
            game.await_pod(1, routingState="DenyNewCall")
        game.edit_route(routingState="DenyNewCall")
        game.await_pod(0, routingState="DenyNewCall")
        game.annotate(1, SHUT_DOWN)
        game.await_pod(1, routingState="Shutdown")
        game.await_link(own, "Lost", "PodLost")  # no other pod takes it
        game.annotate(1, DENY_NEW_CALLS)
        assert game.await_bound(own)["podIndex"] == 1
        game.edit_route(routingState="Ready")
        game.await_pod(0, routingState="Ready")
        game.await_pod(1, routingState="DenyNewCall")


def test_grace_period_starts_when_a_deleted_pod_is_not_ready_any_more(game: Service) -> None:
    own = game.link("own", podIndex=1)
    game.await_bound(own)
    game.edit_route(onPodLost={"graceSeconds": 0})
    game.await_observed()
    with by_deletion(game, ""):
        game.await_pod(1, serviceState="Terminating", routingState="DenyNewCall", links=1)
        assert game.get(own)["spec"]["podIndex"] == 1
        not_ready = {"conditions": [{"type": "Ready", "status": "False"}]}
        game.client.patch_status(Pod, "game-1", game.namespace, not_ready)
        game.await_moved(own, 1)
    game.edit_route(onPodLost={"graceSeconds": A_DAY})
    game.await_observed()
