"""Server drivers know whether their pod holds a user of a slot, and read fencing tokens, with a cluster in memory."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from statefulroute import (
    Configuration,
    ErrorCode,
    InternalError,
    InvalidParameterError,
    PodNotAvailableError,
    ServerDriver,
    SlotArrived,
    UserNotHeldError,
    sync,
)
from statefulroute.cluster.errors import GoneError, UnreachableError
from statefulroute.domain.slots.hashing import slot_of
from statefulroute.sync.loop_thread import DriverInLoop
from statefulroute.testing import InMemoryCluster

HERE = "play"
SLOTS, PODS = 4, 2
STEADY = Configuration(drain_seconds=0)
LINKS = "/apis/statefulroute.io/v1alpha1/namespaces/play/podlinks"

#: A user of each slot; slots 0 and 2 are at the first pod.
USERS = [next(uid for number in range(100) if slot_of(uid := f"user-{number}", SLOTS) == slot) for slot in range(SLOTS)]


@pytest.fixture
def cluster() -> InMemoryCluster:
    cluster = InMemoryCluster(HERE)
    cluster.add_service("game", pods=PODS, slots=SLOTS)
    cluster.add_service("chat", pods=PODS, slots=SLOTS)
    cluster.add_service("rooms", pods=PODS)
    return cluster


def server(cluster: InMemoryCluster, pod: int, *services: str, **options: Any) -> ServerDriver:
    return cluster.server_driver("game", pod, configuration=STEADY, follow_users=services or True, **options)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


async def test_pod_owns_the_users_of_its_links_and_slots(cluster: InMemoryCluster) -> None:
    async with server(cluster, 0) as here:
        assert [here.owns(uid) for uid in USERS] == [True, False, True, False]
        assert [here.slot_of(uid) for uid in USERS] == [0, 1, 2, 3]
        await here.set_linked_pod(HERE, USERS[1], "game", 0)
        assert here.owns(USERS[1], "game")
        assert here.users() == {USERS[1]}
        cluster.set_slot("game", 0, 1)
        await until(lambda: not here.owns(USERS[0]))
        for call in (here.owns, here.slot_of):
            with pytest.raises(InvalidParameterError, match=r"^uid "):
                call("")
            with pytest.raises(InvalidParameterError, match=r"^service must be one .*: game$"):
                call("alice", "chat")


async def test_users_with_a_link_to_another_pod_are_not_owned_if_the_links_are_followed(
    cluster: InMemoryCluster,
) -> None:
    async with server(cluster, 0) as without, server(cluster, 0, follow_links=True) as here:
        await until(lambda: here.owns(USERS[0]))
        await without.set_linked_pod(HERE, USERS[0], "game", 1)
        await until(lambda: not here.owns(USERS[0]))
        assert without.owns(USERS[0])  # it knows only the links to its pod
        await without.remove_linked_pod(HERE, USERS[0], "game")
        await until(lambda: here.owns(USERS[0]))


async def test_slots_of_a_further_service(cluster: InMemoryCluster) -> None:
    async with server(cluster, 0, "chat", "rooms") as here:
        await until(lambda: here.owns(USERS[0], "chat"))
        assert [here.owns(uid, "chat") for uid in USERS] == [True, False, True, False]
        assert not here.owns(USERS[0], "rooms")
        assert here.slot_of(USERS[0], "rooms") is None
        cluster.set_slot("chat", 1, 0)
        await until(lambda: here.owns(USERS[1], "chat"))
    cluster.set_slot("chat", 0, None)


async def test_route_of_a_further_service_that_cannot_be_read_is_not_read_at_each_question(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statefulroute.driver.hand_over_timeouts.RETRY_SECONDS", 0.1)
    get, reads = cluster._client.get, 0  # noqa: SLF001

    async def fail(path: str, *arguments: Any, **options: Any) -> bytes:
        nonlocal reads
        if path.endswith("/statefulroutes/chat"):
            reads += 1
            raise UnreachableError("no answer")
        return await get(path, *arguments, **options)

    monkeypatch.setattr(cluster._client, "get", fail)  # noqa: SLF001
    async with server(cluster, 0, "chat") as here:
        await until(lambda: reads)
        for _ in range(20):
            assert not here.owns(USERS[0], "chat")
            await asyncio.sleep(0)
        assert reads == 1
        monkeypatch.setattr(cluster._client, "get", get)  # noqa: SLF001
        await until(lambda: here.owns(USERS[0], "chat"))


async def test_tokens_of_links_and_slots_are_in_one_order(cluster: InMemoryCluster) -> None:
    uid, tokens = USERS[0], list[int]()
    async with server(cluster, 0) as first, server(cluster, 1) as second:
        tokens.append(await first.read_token(uid))
        with pytest.raises(UserNotHeldError, match=r"only its slot is here: use read_token$"):
            first.token(uid)
        with pytest.raises(UserNotHeldError, match=rf"^this pod does not hold '{uid}' in 'game'$") as refused:
            second.token(uid)
        assert refused.value.code is ErrorCode.USER_NOT_HELD
        with pytest.raises(UserNotHeldError, match="does not hold"):
            await second.read_token(uid)

        await second.set_linked_pod(HERE, uid, "game", 1)  # a pin
        assert await second.read_token(uid) == second.token(uid)
        tokens.append(await second.read_token(uid))
        cluster._client.update(LINKS, "game.x-slot-0", {"status": {"phase": "Bound"}})  # noqa: SLF001
        assert await second.read_token(uid) == tokens[-1]
        with pytest.raises(UserNotHeldError):
            await first.read_token(uid)

        await second.remove_linked_pod(HERE, uid, "game")
        tokens.append(await first.read_token(uid))
        cluster.set_slot("game", 0, 1)
        tokens.append(await second.read_token(uid, "game"))
        cluster.set_slot("game", 0, None)
        with pytest.raises(UserNotHeldError):
            await second.read_token(uid)
    assert tokens == sorted(set(tokens))


async def test_token_is_read_without_following_users(cluster: InMemoryCluster) -> None:
    async with cluster.server_driver("game", 0, configuration=STEADY) as driver:
        assert await driver.read_token(USERS[0]) <= await driver.read_token(USERS[0], "chat")
        with pytest.raises(UserNotHeldError):
            await driver.read_token("alice", "rooms")
        for uid, service in (("", "game"), ("alice", "No"), (None, None)):
            with pytest.raises(InvalidParameterError):
                await driver.read_token(uid, service)  # type: ignore[arg-type]


async def test_expired_link_gives_no_token(cluster: InMemoryCluster) -> None:
    times = {"ttlSeconds": 60, "renewTime": "2020-01-01T00:00:00Z"}
    for uid, pod in ((USERS[0], 1), (USERS[1], 0)):
        spec = {"routeName": "game", "uid": uid, "podIndex": pod, **times}
        cluster._client.create(LINKS, {"metadata": {"name": f"game.{uid}"}, "spec": spec})  # noqa: SLF001
    async with server(cluster, 0) as here:
        await here.read_token(USERS[0])
        with pytest.raises(UserNotHeldError):
            await here.read_token(USERS[1])


async def test_token_is_of_the_revision_before_the_writes_during_a_read(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two requests are enough, whatever is written between them."""
    client = cluster._client  # noqa: SLF001
    get, requests = client.get, list[str]()

    async def get_and_write(path: str, *arguments: Any, **options: Any) -> bytes:
        requests.append(path)
        answer = await get(path, *arguments, **options)
        client.update(LINKS, "game.x-slot-0", {"status": {"number": len(requests)}})
        return answer

    async with server(cluster, 0) as here:
        revision = client._version  # noqa: SLF001
        monkeypatch.setattr(client, "get", get_and_write)
        assert await here.read_token(USERS[0]) == revision
        assert requests == [LINKS, LINKS]


@pytest.mark.parametrize("failures", [1, 8])
async def test_token_is_read_again_if_the_store_was_compacted(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    client = cluster._client  # noqa: SLF001
    get, left = client.get, failures

    async def get_unless_compacted(path: str, params: Any = None, **options: Any) -> bytes:
        nonlocal left
        if params is not None and params.get("resourceVersionMatch") == "Exact" and left:
            left -= 1
            raise GoneError(410, "Expired", "The resourceVersion for the provided list is too old.")
        return await get(path, params, **options)

    async with server(cluster, 0) as here:
        revision = client._version  # noqa: SLF001
        monkeypatch.setattr(client, "get", get_unless_compacted)
        if failures > 1:  # at each attempt
            with pytest.raises(InternalError, match="too old"):
                await here.read_token(USERS[0])
        assert await here.read_token(USERS[0]) == revision
        assert left == 0


async def test_slot_without_a_pod_is_an_error(cluster: InMemoryCluster) -> None:
    cluster.set_slot("game", 0, None)
    async with server(cluster, 0) as here, cluster.server_driver("rooms", 0, configuration=STEADY) as other:
        for driver in (here, other):
            for call in (driver.get_linked_pod, driver.address_of):
                with pytest.raises(PodNotAvailableError, match="slot 0 of 'game', which is not bound to a pod yet"):
                    await call(HERE, USERS[0], "game")
            assert await driver.get_linked_pod(HERE, "alice", "rooms") is None
            assert await driver.links_of(HERE, USERS[0], ["game"]) == {}
        assert not here.owns(USERS[0])
        events = here.events()
        cluster.set_slot("game", 0, 0)
        async with asyncio.timeout(5):
            assert await anext(events) == SlotArrived("game", 2, None)
            assert await anext(events) == SlotArrived("game", 0, None)
        assert await here.get_linked_pod(HERE, USERS[0], "game") == 0


def test_blocking_driver(cluster: InMemoryCluster) -> None:
    async def make() -> ServerDriver:
        return server(cluster, 0)

    with sync.ServerDriver(DriverInLoop(make)) as driver:
        assert (driver.owns(USERS[0]), driver.owns(USERS[1]), driver.slot_of(USERS[3])) == (True, False, 3)
        assert driver.read_token(USERS[0], timeout=5) > 0
