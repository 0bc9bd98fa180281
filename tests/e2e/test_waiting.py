"""Pending links: the reason says what they wait for, and they are bound as soon as it exists."""

import pytest
from pykube.objects import Pod

from support.independent_client import PodLink
from support.service import DENY_NEW_CALLS, NO_ROUTING_STATE, NOT_READY, READY, SHUT_DOWN, Service, condition_of
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator")


def test_link_waits_for_its_route(service: Service) -> None:
    named, chosen = service.link("alice", podIndex=1), service.link("bob")
    for name in (named, chosen):
        status = service.await_link(name, "Pending", "RouteNotFound")
        assert status.keys() == {"phase", "conditions", "observedGeneration"}
    assert condition_of(service.get(named))["message"] == (
        f"StatefulRoute 'game' does not exist in namespace '{service.namespace}'"
    )
    service.start()
    assert service.await_bound(named)["podName"] == "game-1"
    service.await_bound(chosen)


def test_link_waits_for_its_workload(service: Service) -> None:
    service.create_route()
    named, chosen = service.link("alice", podIndex=1), service.link("bob")
    for name in (named, chosen):
        service.await_link(name, "Pending", "WorkloadNotFound")
    service.create_pods()
    assert service.await_bound(named)["podName"] == "game-1"
    service.await_bound(chosen)


def test_link_waits_for_a_pod_that_does_not_exist_yet(service: Service) -> None:
    service.start(replicas=2)
    with service.pod_quota(2):
        service.scale(3)
        service.await_status(replicas=3)
        name = service.link("alice", podIndex=2)
        service.await_link(name, "Pending", "PodNotFound")
    assert service.await_bound(name)["podName"] == "game-2"


def test_link_waits_for_a_pod_beyond_the_replicas(game: Service) -> None:
    game.set_on_pod_lost("Rebind")
    name = game.link("alice", podIndex=4)
    game.await_link(name, "Pending", "PodNotFound")
    game.scale(5)
    assert game.await_bound(name)["podName"] == "game-4"


def test_link_to_a_pod_that_stays_beyond_the_replicas_is_moved_after_the_grace_period(game: Service) -> None:
    game.set_on_pod_lost("Rebind", 1)
    name = game.link("alice", podIndex=4)
    eventually(lambda: game.get(name)["spec"]["podIndex"] != 4, "the link is moved")
    assert game.await_bound(name)["podIndex"] in {0, 1, 2}


def test_link_waits_until_its_pod_is_ready(game: Service) -> None:
    game.annotate(1, NOT_READY)
    game.await_pod(1, serviceState="NotReady")
    name = game.link("alice", podIndex=1)
    game.await_link(name, "Pending", "PodNotRoutable")
    game.annotate(1, READY)
    game.await_bound(name)


def test_link_waits_while_its_pod_is_shut_down(game: Service) -> None:
    game.set_on_pod_lost("Rebind")
    game.annotate(1, SHUT_DOWN)
    game.await_pod(1, routingState="Shutdown")
    name = game.link("alice", podIndex=1)
    game.await_link(name, "Pending", "PodNotRoutable")
    game.annotate(1, NO_ROUTING_STATE)
    game.await_bound(name)


def test_link_that_leaves_the_choice_waits_while_every_pod_denies_new_calls(game: Service) -> None:
    for index in range(3):
        game.annotate(index, DENY_NEW_CALLS)
    game.await_status(bestPodIndex=None)
    name = game.link("alice")
    game.await_link(name, "Pending", "NoAvailablePod")
    assert "podIndex" not in game.get(name)["spec"]
    game.annotate(2, NO_ROUTING_STATE)
    assert game.await_bound(name)["podName"] == "game-2"


def test_link_that_leaves_the_choice_waits_while_the_route_denies_new_calls(service: Service) -> None:
    service.start(routingState="DenyNewCall")
    name = service.link("alice")
    service.await_link(name, "Pending", "NoAvailablePod")
    service.edit_route(routingState="Ready")
    service.await_bound(name)


def test_link_that_names_a_pod_that_denies_new_calls_is_bound(game: Service) -> None:
    game.annotate(1, DENY_NEW_CALLS)
    game.await_pod(1, routingState="DenyNewCall")
    assert game.await_bound(game.link("alice", podIndex=1))["podName"] == "game-1"


def test_routing_state_of_a_pod_in_the_route_keeps_new_users_away(service: Service) -> None:
    service.start(pods=[{"index": 0, "routingState": "DenyNewCall"}, {"index": 2, "routingState": "Shutdown"}])
    service.link_all(f"user-{number}" for number in range(5))
    service.await_all_bound(5)
    assert service.links_by_pod() == {1: 5}


def test_waiting_link_that_is_deleted_delays_no_others(game: Service) -> None:
    game.set_on_pod_lost("Rebind")
    deleted = game.link_all((f"deleted-{number}" for number in range(20)), podIndex=7)
    for name in deleted:
        game.await_link(name, "Pending", "PodNotFound")
    game.client.in_parallel(lambda name: game.client.delete(PodLink, name, game.namespace), deleted)
    game.scale(8)
    assert game.await_bound(game.link("alice", podIndex=7))["podName"] == "game-7"
    assert [link["metadata"]["name"] for link in game.links()] == ["game.alice"]


def test_links_survive_their_route_and_are_bound_to_the_same_pods_again(game: Service) -> None:
    names = [game.link("alice", podIndex=2), game.link("bob"), game.link("carol")]
    before = {name: game.await_bound(name)["podName"] for name in names}
    game.kubectl.run("delete", "statefulroute", "game", "--timeout=30s").expect_success()
    for name in names:
        status = game.await_link(name, "Pending", "RouteNotFound")
        assert "host" not in status
    game.create_route()
    assert {name: game.await_bound(name)["podName"] for name in names} == before


def test_route_may_name_a_workload_of_another_name(service: Service) -> None:
    service.create_pods()
    service.create_route("lobby", workloadRef={"name": "game"})
    lobby = Service(service.kubectl, service.client, "lobby")
    assert lobby.await_bound(lobby.link("alice", podIndex=1))["host"] == f"game-1.game.{service.namespace}.svc"


def test_link_to_an_unsupported_kind_of_workload_waits(service: Service) -> None:
    service.create_pods()
    service.create_route(workloadRef={"kind": "DaemonSet"})
    name, message = service.link("alice", podIndex=1), "Kind DaemonSet of apps/v1 has no scale subresource"
    service.await_link(name, "Pending", "WorkloadNotFound")
    assert condition_of(service.get(name))["message"] == message
    service.await_condition("WorkloadFound", "False", "WorkloadKindNotSupported", message)


def test_recreated_stateful_set_takes_the_waiting_links(game: Service) -> None:
    game.kubectl.run("delete", "statefulset", "game").expect_success()
    eventually(lambda: not game.client.all(Pod, game.namespace), "the pods are gone")
    name = game.link("alice", podIndex=1)
    game.await_link(name, "Pending", "WorkloadNotFound")
    game.create_stateful_set()
    game.await_bound(name)
