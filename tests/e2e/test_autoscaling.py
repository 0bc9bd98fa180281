"""Autoscaling by links: the number of pods follows the users, and none of them is moved or cut for it."""

import pytest
from pykube.objects import StatefulSet

from support.independent_client import PodLink
from support.link_recorder import LinkRecorder
from support.scale import scaled
from support.service import Service
from support.waiting import eventually

pytestmark = [pytest.mark.usefixtures("operator"), pytest.mark.timeout(600)]

PATIENCE = 300.0


def leave(service: Service, *names: str) -> None:
    """Deletes the links of users who leave."""
    service.client.in_parallel(lambda name: service.client.delete(PodLink, name, service.namespace), names)


def replicas(service: Service) -> int:
    """Returns the number of pods of the StatefulSet."""
    return int(service.client.get(StatefulSet, service.name, service.namespace)["spec"]["replicas"])


def test_pods_follow_users_that_come_and_leave(service: Service, recorder: LinkRecorder) -> None:
    pods, per_pod = scaled(4, 10), scaled(3, 100)
    service.create_pods(1)
    service.create_route(
        placement={"maxLinksPerPod": per_pod},
        autoscaling={"maxReplicas": 20, "linksPerPod": per_pod, "scaleDownAfterSeconds": 2},
    )
    service.await_pods(1)
    names = list(service.link_all(f"user-{number}" for number in range(per_pod)))
    leave(service, names.pop())
    names += service.link_all(f"later-{number}" for number in range(pods * per_pod - len(names)))
    service.await_pods(pods)
    service.await_all_bound(len(names), seconds=PATIENCE)
    assert service.route()["spec"]["replicas"] == pods
    by_pod: dict[int, list[str]] = {}
    for link in service.links():
        by_pod.setdefault(link["spec"]["podIndex"], []).append(link["metadata"]["name"])
    assert {index: len(users) for index, users in by_pod.items()} == dict.fromkeys(range(pods), per_pod)

    # All but one user of the last pod leave, and all of the pods before it: it closes, and waits for this user.
    for index in range(1, pods - 1):
        leave(service, *by_pod[index])
    leave(service, *by_pod[pods - 1][1:])
    service.await_condition("Scaled", "False", "WaitingForUsers")
    assert replicas(service) == pods
    leave(service, by_pod[pods - 1][0])
    service.await_status(replicas=1, desiredReplicas=1)
    service.await_condition("Scaled", "True", "Scaled")
    moved = {name: path for name, path in recorder.all_pods().items() if len(set(path) - {None}) > 1}
    assert moved == {}
    assert not any("Lost" in transitions for transitions in recorder.all_transitions().values())


@pytest.mark.usefixtures("quiet_cluster")
def test_service_without_pods_wakes_with_one_write_for_all_users(service: Service) -> None:
    number = scaled(100, 1_000)
    service.create_pods(0)
    service.create_route(autoscaling={"minReplicas": 0, "maxReplicas": 3, "linksPerPod": 1_000})
    service.await_status(replicas=0, desiredReplicas=0)
    eventually(lambda: service.route()["spec"].get("replicas") == 0, "the operator has set it")
    generation, count = service.route()["metadata"]["generation"], service.client.count_requests("apps")
    service.link_all(f"user-{index}" for index in range(number))
    service.await_all_bound(number, seconds=PATIENCE)
    assert service.links_by_pod() == {0: number}
    assert count.patches()["statefulsets/scale"] == 1
    assert service.route()["metadata"]["generation"] == generation + 1


def test_service_sleeps_without_users_and_wakes_for_one(service: Service) -> None:
    service.create_pods(1)
    service.create_route(
        autoscaling={"minReplicas": 0, "maxReplicas": 3, "linksPerPod": 10, "scaleDownAfterSeconds": 1},
    )
    service.await_status(replicas=0, desiredReplicas=0)
    eventually(lambda: not service.pod_ids(), "the pod is gone")
    name = service.link("alice")
    service.await_bound(name)
    leave(service, name)
    service.await_status(replicas=0)
    service.await_bound(service.link("bob", podIndex=0))


def test_there_are_always_free_places(service: Service) -> None:
    service.create_pods(1)
    service.create_route(placement={"maxLinksPerPod": 2}, autoscaling={"maxReplicas": 9, "freeLinks": 3})
    service.await_pods(2)
    service.link_all(["alice", "bob"])
    service.await_pods(3)


def test_scaler_that_undoes_the_operators_work_is_named(service: Service) -> None:
    service.create_pods(1)
    service.create_route(autoscaling={"minReplicas": 2, "maxReplicas": 3, "linksPerPod": 10})
    for _ in range(3):
        eventually(lambda: service.route()["spec"].get("replicas") == 2, "the operator has set it")
        service.edit_route(replicas=1)
    service.await_condition("Scaled", "False", "AnotherScaler")
    assert "spec.replicas of the route" in service.condition("Scaled")[2]
