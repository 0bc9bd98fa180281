"""A client driver meets a route and links of a newer version: each value counts by itself."""

from collections.abc import Iterator

import pytest

from localcluster import LocalCluster
from resolver.stub_service import StubService
from statefulroute import ClientDriver, RoutingState
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.newer_definitions import NEWER, newer_definitions
from support.objects import condition


@pytest.fixture
def newer_service(installed: Kubectl, namespace: str, independent_client: IndependentClient) -> Iterator[StubService]:
    """A service with three pods and without an operator, and the definitions of a newer version."""
    with newer_definitions(installed):
        service = StubService(independent_client, namespace)
        service.create()
        yield service
        service.delete()


async def test_driver_finds_pods_and_binds_users(cluster: LocalCluster, newer_service: StubService) -> None:
    service, client = newer_service, newer_service.independent_client
    service.patch_route(routingState=NEWER, onPodLost={"action": NEWER}, load={"source": NEWER})
    service.pods[0] |= {"serviceState": NEWER}
    service.pods[1] |= {"routingState": NEWER}
    service.patch_route_status(routingState=NEWER, workloadState=NEWER, conditions=[condition(type=NEWER)])
    service.link("alice", 1)
    status = {"phase": NEWER, "podIndex": 1, "podName": "game-1", "host": "game-1.game"}
    client.patch_status(PodLink, "game.alice", service.namespace, status)
    async with await ClientDriver.connect(service.namespace, kubeconfig=cluster.kubeconfig) as driver:
        assert await driver.get_linked_pod("alice", "game") == 1
        address = await driver.address_of("alice", "game")
        assert address is not None
        assert (address.ip, address.host) == ("10.9.0.2", "game-1.game")
        assert driver.routable_pods("game") == [1, 2]
        assert driver.best_pod("game") == 2
        assert await driver.compute_link_if_absent("bob", "game") == 2
        assert RoutingState("Newer") is RoutingState.UNKNOWN
