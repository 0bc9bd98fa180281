"""The cluster in memory: the real drivers behave as with an API server."""

import asyncio

import pytest

from statefulroute import (
    Address,
    Configuration,
    DeadlineExceededError,
    LinkChanged,
    LinkLimitReachedError,
    PodNotRoutableError,
    RoutingState,
    ServerDriver,
)
from statefulroute.testing import InMemoryCluster

NEVER = Configuration(state_period_seconds=3600, workload_period_seconds=3600, drain_seconds=5)


@pytest.fixture
def cluster() -> InMemoryCluster:
    cluster = InMemoryCluster("play")
    cluster.add_service("game", pods=3, port=7777, tags=("all",))
    cluster.add_service("chat", pods=1)
    return cluster


async def until(condition: object) -> None:
    async with asyncio.timeout(5):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("services", [None, ["game"], []], ids=["all links", "those of the service", "no links"])
async def test_client_driver_links_no_more_users_than_the_service_may_have(services: list[str] | None) -> None:
    cluster = InMemoryCluster("play")
    cluster.add_service("game", pods=1, max_links=3)
    async with cluster.client_driver(services=services) as client:
        assert await client.compute_link_if_absent("alice", "game") == 0
        users = [f"user-{number}" for number in range(8)]
        results = await asyncio.gather(
            *(client.compute_link_if_absent(user, "game") for user in users), return_exceptions=True
        )
        assert sum(isinstance(result, LinkLimitReachedError) for result in results) == 6
        assert len(cluster.links("game")) == 3
        with pytest.raises(LinkLimitReachedError):
            await client.link_if_absent("bob", "game", 0)
        assert await client.link_if_absent("alice", "game", 0) == 0
        assert await client.compute_link_if_absent("alice", "game") == 0


async def test_client_driver_binds_and_reads(cluster: InMemoryCluster) -> None:
    async with cluster.client_driver() as client:
        events = client.events()
        address = await client.bind("alice", "game")
        assert address == Address("game-0", "10.0.0.1", "game-0.game.play.svc", 7777)
        assert await anext(events) == LinkChanged("game", "alice", None, 0)
        assert await client.compute_link_if_absent("alice", "game") == 0
        assert await client.link_if_absent("alice", "game", 2) == 0
        assert await client.link_if_absent("alice", "chat", 0, ttl_seconds=60) == 0
        assert await client.links_of("alice") == {"game": 0, "chat": 0}
        assert await client.get_linked_pod("alice", "game", fresh=True) == 0
        assert await client.get_linked_pod_if_persistent("alice", "chat") is None
        assert await client.batch_get(["alice", "nobody"], "game") == {0: ["alice"]}
        assert client.services_of_tag("all") == ["game"]
        users = [f"user-{number}" for number in range(5)]
        await asyncio.gather(*(client.compute_link_if_absent(user, "game") for user in users))
        assert sorted(cluster.links("game").values()) == [0, 0, 1, 1, 2, 2]
        cluster.set_ready("game", 0, is_ready=False)
        await until(lambda: client.alive_pods("game") == [1, 2])
        with pytest.raises(PodNotRoutableError):
            await client.address_of("alice", "game")


async def test_two_clients_and_a_server_see_each_other(cluster: InMemoryCluster) -> None:
    server: ServerDriver = cluster.server_driver("game", 1, configuration=NEVER)
    async with server, cluster.client_driver() as one, cluster.client_driver(services=["game"]) as other:
        assert (await server.init()).pod == 1
        assert await server.set_linked_pod("play", "alice", "game", 1) is None
        await until(lambda: one._cached_link("alice", "game") and other._cached_link("alice", "game"))  # noqa: SLF001
        attempt = await server.try_set_linked_pod("play", "alice", "game", 2)
        assert (attempt.won, attempt.holder) == (False, 1)
        assert await server.links_of("play", "alice") == {"game": 1}
        await server.set_routing_state(RoutingState.DENY_NEW_CALL)
        await until(lambda: not one.is_available("game", 1))
        assert {await one.compute_link_if_absent(f"user-{number}", "game") for number in range(4)} == {0, 2}
        claims = await asyncio.gather(*(each.compute_link_if_absent("bob", "game") for each in (one, other) * 8))
        assert len(set(claims)) == 1
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0.05)
        assert not stopping.done()  # alice is still there
        assert await server.remove_linked_pod("play", "alice", "game")
        await asyncio.wait_for(stopping, 2)


async def test_outage(cluster: InMemoryCluster) -> None:
    async with cluster.client_driver(deadline_seconds=0.2) as client:
        await client.link_if_absent("alice", "game", 0)
        cluster.set_available(is_available=False)
        assert await client.get_linked_pod("alice", "game") == 0
        with pytest.raises(DeadlineExceededError):
            await client.link_if_absent("bob", "game", 0)
        cluster.set_available(is_available=True)
        assert await client.link_if_absent("bob", "game", 0) == 0


@pytest.mark.parametrize("steps", range(8))
async def test_client_misses_no_change_while_it_starts(cluster: InMemoryCluster, steps: int) -> None:
    async def change() -> None:
        for _ in range(steps):
            await asyncio.sleep(0)
        cluster.set_ready("game", 0, is_ready=False)

    client = cluster.client_driver()
    await asyncio.gather(client.start(), change())
    await until(lambda: client.alive_pods("game") == [1, 2])
    await client.close()
