"""A route scales its workload down: pods close, and are removed when they are empty or their deadline is over."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pykube.objects import Deployment, StatefulSet

from support.independent_client import PodLink
from support.link_recorder import LinkRecorder
from support.objects import pod_link
from support.service import Service
from support.waiting import eventually


def set_replicas(service: Service) -> int:
    """Returns the number of pods that the StatefulSet is to have."""
    workload = service.client.get(StatefulSet, service.name, service.namespace)
    return int(workload["spec"]["replicas"])


def delete(service: Service, *links: str) -> None:
    """Deletes links: their users leave."""
    for link in links:
        service.client.delete(PodLink, link, service.namespace)


def note_of(service: Service, reason: str) -> str:
    """Returns the note of the last event of the route with a reason; empty if there is none."""
    notes = [event["note"] for event in service.events("StatefulRoute") if event["reason"] == reason]
    return notes[-1] if notes else ""


def start(service: Service, pods: int, **route: Any) -> None:
    """Creates pods, and a route that scales them."""
    service.create_pods(pods)
    service.create_route(replicas=pods, statePeriodSeconds=1, **route)
    service.await_pods(pods)
    service.await_condition("Scaled", "True", "Scaled", f"the StatefulSet has {pods} pods as desired")


@contextmanager
def without_moves(recorder: LinkRecorder) -> Iterator[None]:
    """Checks that no link changes its pod meanwhile."""
    yield
    pods = recorder.all_pods().values()
    assert [each for each in pods if len({pod for pod in each if pod is not None}) > 1] == []


@pytest.mark.usefixtures("operator")
class TestOperatorRuns:
    """The operator runs all the time."""

    def test_pods_are_removed_from_the_top_when_their_users_have_left(
        self, service: Service, recorder: LinkRecorder
    ) -> None:
        start(service, 4)
        assert service.route_status()["desiredReplicas"] == 4
        assert service.route_status()["selector"] == "app=game"
        middle, last = service.link("middle", podIndex=2), service.link("last", podIndex=3)
        service.await_all_bound(2)
        with without_moves(recorder):
            service.scale_route(2)
            for pod in (2, 3):
                service.await_closing(pod)
            service.await_status(desiredReplicas=2, replicas=4)
            assert service.condition("Scaled")[1] == "WaitingForUsers"
            assert "game-3 (1 link, until " in service.condition("Scaled")[2]
            new = [service.await_bound(service.link(f"new-{number}"))["podIndex"] for number in range(4)]
            assert set(new) == {0, 1}
            delete(service, middle)
            service.await_pod(2, links=0)
            assert set_replicas(service) == 4
            assert service.await_bound(last)["podIndex"] == 3
            delete(service, last)
            service.await_condition("Scaled", "True", "Scaled", "the StatefulSet has 2 pods as desired")
            assert set_replicas(service) == 2
        eventually(lambda: note_of(service, "WorkloadScaled"), "the event of the scale")
        assert note_of(service, "WorkloadScaled") == "the StatefulSet 'game' was scaled from 4 to 2 pods"
        assert "'game-3', 'game-2' are about to be removed" in note_of(service, "PodClosing")
        assert "empty" in note_of(service, "PodEmpty")

    def test_scaling_up_again_opens_closing_pods(self, service: Service, recorder: LinkRecorder) -> None:
        start(service, 3)
        link = service.link("alice", podIndex=2)
        service.await_bound(link)
        generation = service.client.get(StatefulSet, "game", service.namespace)["metadata"]["generation"]
        with without_moves(recorder):
            service.scale_route(1)
            service.await_closing(2)
            service.scale_route(3)
            service.await_pod(2, closing=None, routingState="Ready")
            service.await_pod(1, closing=None, routingState="Ready")
        workload = service.client.get(StatefulSet, "game", service.namespace)
        assert workload["metadata"]["generation"] == generation
        eventually(lambda: note_of(service, "PodReopened"), "the event of the reopened pods")

    def test_users_are_moved_at_the_deadline_and_the_pod_is_removed(self, service: Service) -> None:
        start(service, 2, disruption={"deadlineSeconds": 2})
        link = service.link("alice", podIndex=1)
        service.await_bound(link)
        service.scale_route(1)
        status = service.await_moved(link, previous_pod=1)
        assert (status["podIndex"], status["previous"]["cause"]) == (0, "DeadlineOver")
        service.await_condition("Scaled", "True", "Scaled", "the StatefulSet has 1 pod as desired")
        assert set_replicas(service) == 1
        eventually(lambda: note_of(service, "ClosingDeadlineOver"), "the event of the deadline")

    def test_links_that_stay_with_their_pod_are_marked_at_the_deadline(self, service: Service) -> None:
        start(service, 2, disruption={"deadlineSeconds": 1}, onPodLost={"action": "Keep"})
        link = service.link("alice", podIndex=1)
        service.await_bound(link)
        service.scale_route(1)
        service.await_condition("Scaled", "True", "Scaled", "the StatefulSet has 1 pod as desired")
        assert set_replicas(service) == 1
        assert service.await_link(link, "Lost", "PodLost")["podIndex"] == 1

    def test_the_users_of_all_routes_count_and_one_route_scales(self, service: Service) -> None:
        start(service, 2)
        service.create_route("other", replicas=5, workloadRef={"name": "game"})
        expected = "StatefulRoute 'game' plans for the same workload, because its name comes first"
        eventually(
            lambda: (
                [
                    each["message"]
                    for each in service.route_status("other").get("conditions", [])
                    if each["type"] == "Scaled"
                ]
                == [expected]
            ),
            "the other route does not scale",
        )
        service.client.create(pod_link("other.alice", routeName="other", uid="alice", podIndex=1), service.namespace)
        service.await_bound("other.alice")
        service.scale_route(1)
        service.await_closing(1)
        assert set_replicas(service) == 2
        delete(service, "other.alice")
        service.await_condition("Scaled", "True", "Scaled", "the StatefulSet has 1 pod as desired")
        assert set_replicas(service) == 1

    def test_the_emptiest_pods_of_a_deployment_are_removed(self, service: Service, recorder: LinkRecorder) -> None:
        service.create_workload("Deployment")
        service.create_route(workloadRef={"kind": "Deployment"}, replicas=3, statePeriodSeconds=1)
        service.await_pods(3)
        full, middle, empty = (pod["name"] for pod in service.route_status()["pods"])
        users = {"a": full, "b": full, "c": middle}
        service.link_each({uid: {"podName": pod} for uid, pod in users.items()})
        service.await_all_bound(3)
        with without_moves(recorder):
            service.scale_route(1)
            eventually(lambda: not service.pod_status(empty), "the empty pod is removed")
            service.await_closing(middle)
            delete(service, "game.c")
            service.await_condition("Scaled", "True", "Scaled", "the Deployment has 1 pod as desired")
        eventually(lambda: not service.pod_status(middle), "the pod without users is removed")
        assert [pod["name"] for pod in service.route_status()["pods"]] == [full]
        assert service.client.get(Deployment, "game", service.namespace)["spec"]["replicas"] == 1
