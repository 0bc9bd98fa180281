"""A client driver knows pods that the status of a route does not list."""

from collections.abc import Iterator

import pytest

from localcluster import LocalCluster
from resolver.stub_service import StubService
from statefulroute import ClientDriver, PodNotFoundError
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.waiting import wait_until


@pytest.fixture
def big_service(installed: Kubectl, namespace: str, independent_client: IndependentClient) -> Iterator[StubService]:
    """A service without an operator, of whose three pods the status lists one."""
    del installed
    service = StubService(independent_client, namespace)
    service.create()
    omitted = {"count": 2, "ready": 2, "routable": 2, "available": 2}
    service.patch_route_status(pods=[service.pods[0]], omittedPods=omitted)
    yield service
    service.delete()


async def test_driver_finds_unlisted_pods_and_binds_to_listed_ones(
    cluster: LocalCluster, big_service: StubService
) -> None:
    big_service.link("alice", 2)
    async with await ClientDriver.connect(big_service.namespace, kubeconfig=cluster.kubeconfig) as driver:
        address = await driver.address_of("alice", "game")
        assert address is not None
        assert (address.pod, address.ip) == ("game-2", "10.9.0.3")
        assert driver.routable_pods("game") == driver.alive_pods("game") == [0, 1, 2]
        assert driver.is_routable("game", 1)
        assert driver.is_available("game", 2)
        with pytest.raises(PodNotFoundError):
            driver.is_routable("game", 3)
        assert await driver.compute_link_if_absent("bob", "game") == 0
        big_service.patch_pod_status(1, ready=False)
        big_service.patch_route(pods=[{"index": 2, "routingState": "DenyNewCall"}])
        await wait_until(lambda: driver.routable_pods("game") == [0, 2], "pod 1 is not ready")
        await wait_until(lambda: not driver.is_available("game", 2), "pod 2 takes no new users")
        assert driver.is_routable("game", 2)
