"""A client driver chooses among the pods that its own watch knows, too: the status of a route may be behind."""

import asyncio
from collections.abc import Iterator

import pytest
from pykube.objects import Pod

from localcluster import LocalCluster
from resolver.stub_service import StubService
from statefulroute import ClientDriver, PodNotAvailableError
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.waiting import wait_until


@pytest.fixture
def unobserved(installed: Kubectl, namespace: str, independent_client: IndependentClient) -> Iterator[StubService]:
    """A service without an operator: its status says for ever that its three pods are Ready."""
    del installed
    service = StubService(independent_client, namespace)
    service.create()
    yield service
    service.delete()


async def test_binds_no_user_to_a_pod_that_is_gone_not_ready_or_ending(
    cluster: LocalCluster, unobserved: StubService
) -> None:
    client, here = unobserved.independent_client, unobserved.namespace
    async with await ClientDriver.connect(here, kubeconfig=cluster.kubeconfig) as driver:

        async def chosen(*uids: str) -> set[object]:
            return {await driver.compute_link_if_absent(uid, "game") for uid in uids}

        assert await chosen("a", "b", "c") == {0, 1, 2}
        client.delete(Pod, "game-0", here)
        await wait_until(lambda: driver.best_pod("game") != 0, "the driver knows that pod 0 is gone")
        assert await chosen(*(f"d{number}" for number in range(6))) == {1, 2}
        unobserved.patch_pod_status(1, ready=False)
        await wait_until(lambda: driver.best_pod("game") != 1, "the driver knows that pod 1 is not ready")
        assert await chosen(*(f"e{number}" for number in range(6))) == {2}
        client.patch(Pod, "game-2", here, {"metadata": {"annotations": {"statefulroute.io/routing-state": "Shutdown"}}})

        def is_none_available() -> bool:
            try:
                driver.best_pod("game")
            except PodNotAvailableError:
                return True
            return False

        await wait_until(is_none_available, "the driver knows that pod 2 denies users")
        with pytest.raises(PodNotAvailableError):
            await driver.compute_link_if_absent("f", "game")
    await asyncio.sleep(0.25)  # until the connections are closed


async def test_address_has_the_host_right_after_the_binding(cluster: LocalCluster, unobserved: StubService) -> None:
    """The operator has not written the status of the link: the name comes from the pod itself."""
    here = unobserved.namespace
    unobserved.create_pod(3, hostname="game-3", subdomain="games")
    unobserved.create_pod(4, hostname="shared", subdomain="games")
    unobserved.patch_route_status()
    async with await ClientDriver.connect(here, kubeconfig=cluster.kubeconfig) as driver:
        for pod, host in ((0, None), (3, f"game-3.games.{here}.svc"), (4, None)):
            await driver.link_if_absent(f"user-{pod}", "game", pod)
            address = await driver.address_of(f"user-{pod}", "game")
            assert address is not None
            assert (address.pod, address.host) == (f"game-{pod}", host)
    await asyncio.sleep(0.25)
