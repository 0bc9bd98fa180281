"""A route's status tells what is true: of its workload, its pods and its links."""

from typing import Any

import pytest
from pykube.objects import Pod

from support.independent_client import IndependentClient, StatefulRoute
from support.kubectl import Kubectl
from support.service import NO_ROUTING_STATE, NOT_READY, READY, SHUT_DOWN, Service, condition_of
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator")


def condition_fields(route: dict[str, Any], kind: str) -> tuple[str, str, str]:
    """What a condition says."""
    condition = condition_of(route, kind)
    return condition["status"], condition["reason"], condition["message"]


def test_a_route_tells_its_pods_and_their_links(game: Service) -> None:
    for uid, index in (("alice", 0), ("bob", 0), ("carol", 1)):
        game.link(uid, podIndex=index)
    game.await_status(links=3, bestPodIndex=2)
    route = game.route()
    assert condition_fields(route, "Ready") == ("True", "Routable", "3 of 3 pods serve users")
    assert condition_fields(route, "WorkloadFound") == ("True", "WorkloadFound", "StatefulSet 'game' exists")
    status = route["status"]
    assert status.pop("conditions")
    assert status == {
        "observedGeneration": 1,
        "routingState": "Ready",
        "replicas": 3,
        "readyReplicas": 3,
        "routablePods": 3,
        "links": 3,
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


def test_every_condition_names_the_generation_it_was_made_for(game: Service) -> None:
    game.edit_route(tags=["lobby"])
    game.await_status(observedGeneration=2)
    assert {each["observedGeneration"] for each in game.route_status()["conditions"]} == {2}


def test_kubectl_waits_for_a_route_and_lists_it(game: Service) -> None:
    game.kubectl.run("wait", "--for=condition=Ready", "--timeout=30s", "statefulroute/game").expect_success()
    shown = game.kubectl.run("get", "statefulroutes", "--no-headers").expect_success().stdout.split()
    assert shown[:3] == ["game", "True", "Ready"]


def test_a_route_follows_its_workload_up_and_down(game: Service) -> None:
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


def test_a_route_follows_the_readiness_of_its_pods(game: Service) -> None:
    game.annotate(0, NOT_READY)
    game.await_status(readyReplicas=2, routablePods=2, bestPodIndex=1)
    assert game.pod_status(0)["serviceState"] == "NotReady"
    game.annotate(0, READY)
    game.await_status(readyReplicas=3, routablePods=3, bestPodIndex=0)


def test_a_route_follows_what_its_pods_say(game: Service) -> None:
    game.annotate(0, SHUT_DOWN)
    game.await_status(readyReplicas=3, routablePods=2, bestPodIndex=1)
    assert game.pod_status(0)["routingState"] == "Shutdown"
    game.annotate(0, NO_ROUTING_STATE)
    game.await_status(readyReplicas=3, routablePods=3, bestPodIndex=0)


def test_a_route_that_is_shut_down_is_not_ready(game: Service) -> None:
    game.edit_route(routingState="Shutdown")
    game.await_status(routingState="Shutdown", routablePods=0, bestPodIndex=None)
    assert condition_fields(game.route(), "Ready")[:2] == ("False", "Shutdown")
    game.edit_route(routingState="Ready")
    game.await_status(routingState="Ready", routablePods=3, bestPodIndex=0)
    assert condition_fields(game.route(), "Ready")[:2] == ("True", "Routable")


def test_a_new_period_is_taken_up(game: Service) -> None:
    game.edit_route(statePeriodSeconds=1)
    game.await_status(observedGeneration=2)
    # Only the period's own round notices this: nothing that the route depends on has changed.
    game.client.patch_status(StatefulRoute, "game", game.namespace, {"readyReplicas": 77})
    game.await_status(readyReplicas=3)


def test_a_route_without_its_workload_says_so_and_recovers(service: Service) -> None:
    service.create_route()
    service.await_status(observedGeneration=1, links=0)
    missing = ("False", "WorkloadNotFound", f"StatefulSet 'game' does not exist in namespace '{service.namespace}'")
    assert condition_fields(service.route(), "Ready") == condition_fields(service.route(), "WorkloadFound") == missing
    assert "replicas" not in service.route_status()
    service.create_pods()
    service.await_pods(3)
    assert condition_fields(service.route(), "Ready")[0] == "True"


def test_a_route_notices_that_its_workload_is_gone(game: Service) -> None:
    game.kubectl.run("delete", "statefulset", "game").expect_success()
    eventually(lambda: condition_fields(game.route(), "Ready")[1] == "WorkloadNotFound", "it says so")
    eventually(lambda: not game.client.all(Pod, game.namespace), "the pods are gone")
    game.await_status(replicas=None, readyReplicas=0, pods=[])


def test_a_route_may_be_pointed_at_another_workload(game: Service) -> None:
    other = Service(game.kubectl, game.client, "other")
    other.create_pods(replicas=2)
    game.edit_route(workloadRef={"name": "other"})
    game.await_pods(2)
    assert [pod["name"] for pod in game.route_status()["pods"]] == ["other-0", "other-1"]


def test_an_unsupported_kind_of_workload_is_told(service: Service) -> None:
    service.create_pods()
    service.create_route(workloadRef={"kind": "DaemonSet"})
    service.await_status(observedGeneration=1)
    told = ("False", "WorkloadKindNotSupported", "Kind DaemonSet of apps/v1 has no scale subresource")
    assert condition_fields(service.route(), "Ready") == condition_fields(service.route(), "WorkloadFound") == told


def test_a_route_bears_no_mark_but_the_finalizer(game: Service) -> None:
    metadata = game.route()["metadata"]
    assert metadata["finalizers"] == ["statefulroute.io/operator"]
    assert not metadata.keys() & {"annotations", "labels"}


def test_a_deleted_route_is_gone_at_once_and_can_be_made_anew(game: Service) -> None:
    for _ in range(3):
        game.kubectl.run("delete", "statefulroute", "game", "--timeout=30s").expect_success()
        assert not game.exists(StatefulRoute, "game")
        game.create_route()
        game.await_pods(3)


def test_a_namespace_with_routes_and_links_can_be_deleted(
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
