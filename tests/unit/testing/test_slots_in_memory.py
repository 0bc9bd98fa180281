"""Services with slots: the drivers find the pod of a user by the user's slot, and write nothing."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from statefulroute import ClientDriver, InvalidParameterError, PodNotAvailableError
from statefulroute.api.vocabulary import BoundBy
from statefulroute.domain.slots.hashing import slot_of
from statefulroute.testing import InMemoryCluster

SLOTS, PODS = 8, 3
ALICE, BOB = slot_of("alice", SLOTS) % PODS, slot_of("bob", SLOTS) % PODS
OTHER = (ALICE + 1) % PODS


@pytest.fixture
def cluster() -> InMemoryCluster:
    cluster = InMemoryCluster("play")
    cluster.add_service("game", pods=PODS, slots=SLOTS, port=7777)
    cluster.add_service("chat", pods=1)
    return cluster


@pytest_asyncio.fixture(params=[None, ["game"], []], ids=["all links", "those of the service", "no links"])
async def client(cluster: InMemoryCluster, request: pytest.FixtureRequest) -> AsyncIterator[ClientDriver]:
    async with cluster.client_driver(services=request.param) as client:
        yield client


async def test_users_are_at_the_pod_of_their_slot(cluster: InMemoryCluster, client: ClientDriver) -> None:
    for uid in ("alice", "bob", "x-slot-1", "Ann Ü", "x-616c696365"):
        pod = slot_of(uid, SLOTS) % PODS
        assert await client.get_linked_pod(uid, "game") == pod
        assert await client.get_linked_pod(uid, "game", fresh=True) == pod
        assert await client.get_linked_pod_if_persistent(uid, "game") == pod
        assert await client.compute_link_if_absent(uid, "game", ttl_seconds=60) == pod
        assert await client.link_if_absent(uid, "game", (pod + 1) % PODS) == pod
        assert (await client.bind(uid, "game")).pod == f"game-{pod}"
        assert await client.address_of(uid, "game") == await client.bind(uid, "game")
        assert await client.renew(uid, "game")
        assert await client.links_of(uid) == {"game": pod}
        assert await client.batch_get([uid], "game") == {pod: [uid]}
        assert await client.bound_by(uid, "game") is BoundBy.SLOT
        assert client.slot_of(uid, "game") == slot_of(uid, SLOTS)
    assert cluster.links("game") == {}
    assert client.slot_of("alice", "chat") is None
    assert await client.bound_by("alice", "chat") is None


@pytest.mark.parametrize("uid", ["alice", "Ann Ü"])
async def test_own_link_binds_before_the_slot(cluster: InMemoryCluster, client: ClientDriver, uid: str) -> None:
    pod = slot_of(uid, SLOTS) % PODS
    other = (pod + 1) % PODS
    server = cluster.server_driver("game", other)
    assert await server.set_linked_pod("play", uid, "game", other) is None
    assert await client.get_linked_pod(uid, "game", fresh=True) == other
    assert await client.get_linked_pod(uid, "game") == other
    assert await client.compute_link_if_absent(uid, "game") == other
    assert await client.link_if_absent(uid, "game", pod) == other
    assert await client.bound_by(uid, "game") is BoundBy.LINK
    assert await client.links_of(uid) == {"game": other}
    assert await server.get_linked_pod("play", uid, "game") == other
    assert await server.remove_linked_pod("play", uid, "game")
    assert await server.get_linked_pod("play", uid, "game") == pod
    assert await server.links_of("play", uid) == {"game": pod}
    address = await server.address_of("play", uid, "game")
    assert address is not None
    assert address.pod == f"game-{pod}"
    assert await client.get_linked_pod(uid, "game", fresh=True) == pod
    assert not await server.remove_linked_pod("play", uid, "game")
    await server.close()


async def test_server_of_another_service_finds_the_pod_of_a_slot(cluster: InMemoryCluster) -> None:
    server = cluster.server_driver("chat", 0)
    assert await server.get_linked_pod("play", "alice", "game") == ALICE
    assert await server.links_of("play", "alice") == {"game": ALICE}
    await server.close()


async def test_server_knows_the_slots_of_its_pod(cluster: InMemoryCluster) -> None:
    async with cluster.server_driver("game", 1, follow_users=True) as server:
        assert server.slots() == {1, 4, 7}
        assert server.users() == set()
        await server.set_linked_pod("play", "alice", "game", 1)
        assert (server.users(), server.slots("game")) == ({"alice"}, {1, 4, 7})
        cluster.set_slot("game", 1, 2)
        cluster.set_slot("game", 2, 1)
        async with asyncio.timeout(5):
            while server.slots() != {2, 4, 7}:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.005)
        with pytest.raises(InvalidParameterError, match="service"):
            server.slots("chat")


async def test_unbound_slot_is_an_error_that_names_it(cluster: InMemoryCluster, client: ClientDriver) -> None:
    slot = slot_of("alice", SLOTS)
    cluster.set_slot("game", slot, None)
    unbound = pytest.raises(PodNotAvailableError, match=rf"slot {slot} of 'game', which is not bound to a pod yet")
    with unbound:
        await client.get_linked_pod("alice", "game", fresh=True)
    with unbound:
        await client.compute_link_if_absent("alice", "game")
    with unbound:
        await client.link_if_absent("alice", "game", 0)
    with unbound:
        await client.address_of("alice", "game")
    assert await client.links_of("alice") == {}
    assert cluster.links("game") == {}
    cluster.set_slot("game", slot, OTHER)
    assert await client.get_linked_pod("alice", "game", fresh=True) == OTHER


async def test_cached_look_ups_of_any_users_cost_no_request(cluster: InMemoryCluster) -> None:
    async with cluster.client_driver() as client:
        cluster.set_available(is_available=False)
        for number in range(100):
            uid = f"user-{number}"
            pod = slot_of(uid, SLOTS) % PODS
            assert await client.get_linked_pod(uid, "game") == pod
            assert await client.compute_link_if_absent(uid, "game") == pod
            assert await client.link_if_absent(uid, "game", 0) == pod
            assert await client.renew(uid, "game")


async def test_invalid_uids_have_no_slot(client: ClientDriver) -> None:
    for uid in ("", "\ud800", "a\x00b", "ü" * 200, None, 7):
        with pytest.raises(InvalidParameterError, match="uid"):
            await client.get_linked_pod(uid, "game")  # type: ignore[arg-type]
        with pytest.raises(InvalidParameterError, match="uid"):
            await client.compute_link_if_absent(uid, "game")  # type: ignore[arg-type]
    with pytest.raises(InvalidParameterError, match="route"):
        await client.compute_link_if_absent("alice", ["game"])  # type: ignore[arg-type]
