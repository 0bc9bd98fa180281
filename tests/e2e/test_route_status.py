"""The status of a route: its workload, its pods and its links."""

from typing import Any

import pytest
from pykube.objects import Pod

from support.independent_client import IndependentClient, StatefulRoute
from support.kubectl import Kubectl
from support.service import NO_ROUTING_STATE, NOT_READY, READY, SHUT_DOWN, Service, condition_of
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator")


def condition_fields(route: dict[str, Any], kind: str) -> tuple[str, str, str]:
    """Returns the status, the reason and the message of a condition."""
    condition = condition_of(route, kind)
    return condition["status"], condition["reason"], condition["message"]


def test_status_lists_pods_and_their_links(game: Service) -> None:
    for uid, index in (("alice", 0), ("bob", 0), ("carol", 1)):
        game.link(uid, podIndex=index)
    game.await_status(links=3, bestPodIndex=2)
    route = game.route()
    assert condition_fields(route, "Ready") == ("True", "Routable", "3 of 3 pods serve users")
    assert condition_fields(route, "WorkloadFound") == ("True", "WorkloadFound", "StatefulSet 'game' exists")
    status = route["status"]
    assert status.pop("conditions")
    assert status.pop("operator")
    assert status == {
        "observedGeneration": 1,
        "routingState": "Ready",
        "replicas": 3,
        "readyReplicas": 3,
        "routablePods": 3,
        "links": 3,
        "unservedLinks": 0,
        "workload": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "game"},
        "bestPodIndex": 2,
        "bestPodName": "game-2",
        "pods": [
            {
                "index": index,
                "name": f"game-{index}",
                "serviceState": "Ready",
                "routingState": "Ready",
                "links": links,
            }
            for index, links in enumerate((2, 1, 0))
        ],
    }


def test_every_condition_has_the_observed_generation(game: Service) -> None:
    game.edit_route(tags=["lobby"])
    game.await_status(observedGeneration=2)
    assert {condition["observedGeneration"] for condition in game.route_status()["conditions"]} == {2}


def test_kubectl_waits_for_a_route_and_lists_it(game: Service) -> None:
    game.kubectl.run("wait", "--for=condition=Ready", "--timeout=30s", "statefulroute/game").expect_success()
    shown = game.kubectl.run("get", "statefulroutes", "--no-headers").expect_success().stdout.split()
    assert shown[:3] == ["game", "True", "Ready"]


def test_status_follows_the_scale_of_the_workload(game: Service) -> None:
    game.scale(5)
    game.await_status(replicas=5, readyReplicas=5, routablePods=5)
    assert [pod["name"] for pod in game.route_status()["pods"]] == [f"game-{index}" for index in range(5)]
    game.scale(1)
    game.await_status(replicas=1, readyReplicas=1, routablePods=1)
    eventually(lambda: [pod["name"] for pod in game.route_status()["pods"]] == ["game-0"], "one pod is left")
    game.scale(0)
    game.await_status(replicas=0, readyReplicas=0, routablePods=0, bestPodIndex=None)
    assert condition_fields(game.route(), "Ready") == (
        "False",
        "NoRoutablePod",
        "no pod of the workload is ready and takes users",
    )
    assert condition_fields(game.route(), "WorkloadFound")[0] == "True"


def test_status_follows_the_readiness_of_pods(game: Service) -> None:
    game.annotate(0, NOT_READY)
    game.await_status(readyReplicas=2, routablePods=2, bestPodIndex=1)
    assert game.pod_status(0)["serviceState"] == "NotReady"
    game.annotate(0, READY)
    game.await_status(readyReplicas=3, routablePods=3, bestPodIndex=0)


def test_status_follows_the_routing_state_that_pods_report(game: Service) -> None:
    game.annotate(0, SHUT_DOWN)
    game.await_status(readyReplicas=3, routablePods=2, bestPodIndex=1)
    assert game.pod_status(0)["routingState"] == "Shutdown"
    game.annotate(0, NO_ROUTING_STATE)
    game.await_status(readyReplicas=3, routablePods=3, bestPodIndex=0)


def test_shut_down_route_is_not_ready(game: Service) -> None:
    game.edit_route(routingState="Shutdown")
    game.await_status(routingState="Shutdown", routablePods=0, bestPodIndex=None)
    assert condition_fields(game.route(), "Ready")[:2] == ("False", "Shutdown")
    game.edit_route(routingState="Ready")
    game.await_status(routingState="Ready", routablePods=3, bestPodIndex=0)
    assert condition_fields(game.route(), "Ready")[:2] == ("True", "Routable")


def test_new_state_period_takes_effect(game: Service) -> None:
    game.edit_route(statePeriodSeconds=1)
    game.await_status(observedGeneration=2)
    # Only a turn of the timer notices this, because nothing that the route depends on has changed.
    game.client.patch_status(StatefulRoute, "game", game.namespace, {"readyReplicas": 77})
    game.await_status(readyReplicas=3)


def test_route_without_its_workload_is_not_ready_and_recovers(service: Service) -> None:
    service.create_route()
    service.await_status(observedGeneration=1, links=0)
    missing = ("False", "WorkloadNotFound", f"StatefulSet 'game' does not exist in namespace '{service.namespace}'")
    assert condition_fields(service.route(), "Ready") == condition_fields(service.route(), "WorkloadFound") == missing
    assert "replicas" not in service.route_status()
    service.create_pods()
    service.await_pods(3)
    assert condition_fields(service.route(), "Ready")[0] == "True"


def test_status_shows_that_the_workload_was_deleted(game: Service) -> None:
    game.kubectl.run("delete", "statefulset", "game").expect_success()
    eventually(lambda: condition_fields(game.route(), "Ready")[1] == "WorkloadNotFound", "the condition names it")
    eventually(lambda: not game.client.all(Pod, game.namespace), "the pods are gone")
    game.await_status(replicas=None, readyReplicas=0, pods=[])


def test_route_may_be_changed_to_another_workload(game: Service) -> None:
    other = Service(game.kubectl, game.client, "other")
    other.create_pods(replicas=2)
    game.edit_route(workloadRef={"name": "other"})
    game.await_pods(2)
    assert [pod["name"] for pod in game.route_status()["pods"]] == ["other-0", "other-1"]


def test_condition_names_an_unsupported_kind_of_workload(service: Service) -> None:
    service.create_pods()
    service.create_route(workloadRef={"kind": "DaemonSet"})
    service.await_status(observedGeneration=1)
    expected = ("False", "WorkloadKindNotSupported", "Kind DaemonSet of apps/v1 has no scale subresource")
    assert condition_fields(service.route(), "Ready") == condition_fields(service.route(), "WorkloadFound") == expected


def test_operator_adds_only_its_finalizer_to_the_metadata_of_a_route(game: Service) -> None:
    metadata = game.route()["metadata"]
    assert metadata["finalizers"] == ["statefulroute.io/operator"]
    assert not metadata.keys() & {"annotations", "labels"}


def test_deleted_route_is_gone_at_once_and_can_be_created_again(game: Service) -> None:
    for _ in range(3):
        game.kubectl.run("delete", "statefulroute", "game", "--timeout=30s").expect_success()
        assert not game.exists(StatefulRoute, "game")
        game.create_route()
        game.await_pods(3)


def test_namespace_with_routes_and_links_can_be_deleted(
    installed: Kubectl, independent_client: IndependentClient
) -> None:
    new = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "test-"}}
    namespace = str(installed.create(new)["metadata"]["name"])
    game, chat = (Service(installed.within(namespace), independent_client, name) for name in ("game", "chat"))
    game.start()
    chat.start(replicas=1)
    game.link_all(f"user-{number}" for number in range(30))
    chat.link("alice")
    game.await_all_bound(31)
    installed.run("delete", "namespace", namespace, "--timeout=55s").expect_success()
    assert "NotFound" in installed.run("get", "namespace", namespace).stderr
