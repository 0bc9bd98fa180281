"""Two routes over one workload: each counts the links that its pods carry for the other."""

from collections import Counter

import pytest
from pykube.objects import Pod

from support.independent_client import PodLink
from support.service import Service
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator")

COST = "controller.kubernetes.io/pod-deletion-cost"

GAME = {"workloadRef": {"name": "game"}}


@pytest.fixture
def lobby(service: Service) -> Service:
    """A second route, `lobby`, to the StatefulSet `game`."""
    return Service(service.kubectl, service.client, "lobby")


def pods_of(service: Service, names: list[str]) -> Counter[int]:
    """Waits until the links are bound; returns the number of links of each pod."""
    return Counter(service.await_bound(name)["podIndex"] for name in names)


def test_limit_of_links_per_pod_counts_the_links_of_all_routes(service: Service, lobby: Service) -> None:
    service.start(placement={"maxLinksPerPod": 2})
    lobby.create_route(**GAME)
    for number, index in enumerate((0, 0, 1)):
        lobby.await_bound(lobby.link(f"visitor-{number}", podIndex=index))
    service.await_pod(0, links=0, totalLinks=2)
    players = [service.link(f"player-{number}") for number in range(3)]
    assert pods_of(service, players) == {1: 1, 2: 2}
    late = service.link("late")
    service.await_link(late, "Pending", "AtCapacity")
    service.client.delete(PodLink, "lobby.visitor-0", service.namespace)
    assert service.await_bound(late)["podIndex"] == 0, "the room that a link of the other route has left"


def test_placement_counts_the_links_of_all_routes(service: Service, lobby: Service) -> None:
    service.start()
    lobby.create_route(**GAME)
    lobby.link_all((f"visitor-{number}" for number in range(4)), podIndex=0)
    lobby.link_all((f"guest-{number}" for number in range(2)), podIndex=1)
    service.await_pod(0, totalLinks=4)
    service.await_pod(1, totalLinks=2)
    service.await_status(bestPodIndex=2)
    players = [service.link(f"player-{number}") for number in range(6)]
    assert pods_of(service, players) == {1: 2, 2: 4}
    # Once the other route is deleted, its links do not count.
    service.kubectl.run("delete", "statefulroute", "lobby", "--timeout=30s").expect_success()
    service.await_pod(0, links=0, totalLinks=None)
    service.await_status(bestPodIndex=0)


def test_deletion_cost_counts_the_links_of_all_routes(service: Service, lobby: Service) -> None:
    service.create_workload("Deployment", replicas=2)
    deployment = {"kind": "Deployment", "name": "game"}
    service.create_route(workloadRef=deployment, statePeriodSeconds=1)
    lobby.create_route(workloadRef=deployment, statePeriodSeconds=1)
    service.await_pods(2)
    first, second = sorted(pod["name"] for pod in service.route_status()["pods"])
    lobby.link_all((f"visitor-{number}" for number in range(3)), podName=first)
    service.link_all(("alice", "bob"), podName=first)
    service.link_all(("carol",), podName=second)
    eventually(
        lambda: [service.annotations(Pod, name).get(COST) for name in (first, second)] == ["5", "1"],
        "the deletion costs are the numbers of links of both routes",
    )
