"""The recipes for web frameworks run, with a cluster in memory."""

import asyncio

import grpc
import pytest
from aiohttp.test_utils import TestClient, TestServer

from localcluster.ports import free_port
from statefulroute import Configuration, RoutingState
from statefulroute.testing import InMemoryCluster
from support.recipes import load_recipe


@pytest.fixture
def cluster() -> InMemoryCluster:
    cluster = InMemoryCluster("play")
    cluster.add_service("game", pods=2, port=7777)
    return cluster


async def test_aiohttp_gateway(cluster: InMemoryCluster) -> None:
    app = load_recipe("aiohttp_gateway").make_app(cluster.client_driver())
    async with TestClient(TestServer(app)) as client:
        for uid, endpoint in (("alice", "10.0.0.1:7777"), ("bob", "10.0.0.2:7777"), ("alice", "10.0.0.1:7777")):
            response = await client.get(f"/users/{uid}")
            assert (response.status, (await response.json())["endpoint"]) == (200, endpoint)
        assert (await client.get(f"/users/{'a' * 190}")).status == 400
        assert (await client.get("/healthz")).status == 200
        cluster.set_ready("game", 0, is_ready=False)
        cluster.set_ready("game", 1, is_ready=False)
        async with asyncio.timeout(5):
            while (await client.get("/users/alice")).status != 503:  # noqa: ASYNC110 - until the driver knows it
                await asyncio.sleep(0.01)
        assert (await client.get("/users/carol")).status == 503


async def test_grpc_server(cluster: InMemoryCluster) -> None:
    stop, address = asyncio.Event(), f"127.0.0.1:{free_port()}"
    driver = cluster.server_driver("game", 1, configuration=Configuration(drain_seconds=1))
    serving = asyncio.create_task(load_recipe("grpc_server").serve(driver, address, stop))
    async with cluster.client_driver() as callers, grpc.aio.insecure_channel(address) as channel:
        await callers.link_if_absent("bob", "game", 0)
        enter = channel.unary_unary("/play.Rooms/Enter")
        assert await enter(b"", metadata=(("x-uid", "alice"),), wait_for_ready=True) == b"welcome"
        assert cluster.links("game") == {"alice": 1, "bob": 0}
        with pytest.raises(grpc.aio.AioRpcError, match="bob is on pod 0"):
            await enter(b"", metadata=(("x-uid", "bob"),))
        assert driver.get_load_state() == 1
        stop.set()
        await asyncio.wait_for(serving, 20)
        assert not driver.is_running
        async with asyncio.timeout(5):
            while callers.is_available("game", 1):  # noqa: ASYNC110 - until the driver knows it
                await asyncio.sleep(0.01)
    assert driver.get_routing_state() is RoutingState.READY  # the application's own state is unchanged
