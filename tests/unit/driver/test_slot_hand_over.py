"""Server drivers learn which slots arrive and leave, and hand them over, with a cluster in memory."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from statefulroute import (
    Configuration,
    DriverMetrics,
    HandOverConfiguration,
    HandOverError,
    InvalidParameterError,
    LeaveReason,
    LeavingSlot,
    LeavingUser,
    ServerDriver,
    ServerEvent,
    SlotArrived,
    SlotLeaving,
    SlotLeft,
    SlotStaying,
    UserArrived,
    sync,
)
from statefulroute.domain.slots.hashing import slot_of
from statefulroute.sync.loop_thread import DriverInLoop
from statefulroute.testing import InMemoryCluster
from support.waiting import eventually

HERE = "play"
SLOTS, PODS = 4, 2
LINKS = "/apis/statefulroute.io/v1alpha1/namespaces/play/podlinks"
STEADY = Configuration(drain_seconds=0)


@pytest.fixture
def cluster() -> InMemoryCluster:
    """Slots 0 and 2 are at the first pod, 1 and 3 at the second one."""
    cluster = InMemoryCluster(HERE)
    cluster.add_service("game", pods=PODS, slots=SLOTS, hand_over_seconds=3600)
    cluster.add_service("chat", pods=PODS, slots=SLOTS, hand_over_seconds=3600)
    return cluster


class Application:
    """A handler that a test lets go on.

    Attributes:
        called: the slots, in the order of the calls.
        cancelled: those whose calls were cancelled.
    """

    def __init__(self) -> None:
        self.called: list[LeavingSlot] = []
        self.cancelled: list[int] = []
        self.may_return = asyncio.Event()

    async def save(self, slot: LeavingSlot) -> None:
        self.called.append(slot)
        try:
            await self.may_return.wait()
        except asyncio.CancelledError:
            self.cancelled.append(slot.slot)
            raise


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


async def take(events: AsyncIterator[ServerEvent], number: int) -> list[Any]:
    async with asyncio.timeout(5):
        return [await anext(events) for _ in range(number)]


@asynccontextmanager
async def pod(cluster: InMemoryCluster, index: int = 0, *services: str, **options: Any) -> AsyncIterator[ServerDriver]:
    options = {"configuration": STEADY, **options}
    async with cluster.server_driver("game", index, follow_users=services or True, **options) as driver:
        yield driver


async def test_slots_arrive_and_leave(cluster: InMemoryCluster) -> None:
    async with pod(cluster) as here:
        events = here.events()
        await here.set_linked_pod(HERE, "alice", "game", 0)
        cluster.set_slot("game", 1, 0)
        cluster.set_slot("game", 2, 1)
        cluster.set_slot("game", 0, None)
        assert await take(events, 6) == [
            SlotArrived("game", 0, None),
            SlotArrived("game", 2, None),
            UserArrived("game", "alice", None),
            SlotArrived("game", 1, None),
            SlotLeft("game", 2, LeaveReason.UNBOUND),
            SlotLeft("game", 0, LeaveReason.UNBOUND),
        ]
        assert await take(here.events(), 2) == [UserArrived("game", "alice", None), SlotArrived("game", 1, None)]


async def test_slots_of_a_closing_pod_are_about_to_leave(cluster: InMemoryCluster) -> None:
    deadline = datetime(2026, 1, 1, tzinfo=UTC)
    async with pod(cluster) as here:
        events = here.events()
        await take(events, 2)
        cluster.set_closing("game", 0, deadline)
        assert await take(events, 2) == [SlotLeaving("game", slot, None, deadline) for slot in (0, 2)]
        cluster.set_slot("game", 1, 0)
        assert await take(events, 2) == [SlotArrived("game", 1, None), SlotLeaving("game", 1, None, deadline)]
        cluster.set_closing("game", 0, None)
        assert set(await take(events, 3)) == {SlotStaying("game", slot) for slot in (0, 1, 2)}


async def test_slot_moves_when_the_handler_returns(cluster: InMemoryCluster) -> None:
    registry, application = CollectorRegistry(), Application()
    async with pod(cluster, metrics=DriverMetrics(registry)) as old, pod(cluster, 1) as new:
        old.on_slot_leaving(application.save)
        events, arrivals = old.events(), new.events()
        await take(events, 2)
        await take(arrivals, 2)
        cluster.hand_over("game", 2, 1)
        [leaving] = await take(events, 1)
        assert leaving == SlotLeaving("game", 2, 1, leaving.deadline)
        assert (await take(old.events(), 3))[2] == leaving
        await until(lambda: application.called)
        assert application.called == [LeavingSlot("game", 2, 1, leaving.deadline)]
        assert cluster.slots("game")[2] == 0
        application.may_return.set()
        assert await take(events, 1) == [SlotLeft("game", 2, LeaveReason.UNBOUND)]
        assert await take(arrivals, 1) == [SlotArrived("game", 2, None)]
        assert cluster.slots("game") == {0: 0, 1: 1, 2: 1, 3: 1}
        labels = {"namespace": HERE, "result": "Committed"}
        name = "statefulroute_driver_hand_overs_total"
        await until(lambda: registry.get_sample_value(name, labels) == 1)
    link = next(item for item in cluster._client.objects(LINKS) if item["metadata"]["name"] == "game.x-slot-2")  # noqa: SLF001
    assert link["spec"] == {"routeName": "game", "slot": 2, "podIndex": 1}
    assert application.cancelled == []


async def test_users_and_slots_have_a_handler_each(cluster: InMemoryCluster) -> None:
    slots, users = list[int](), list[str]()

    async def save(user: LeavingUser) -> None:
        users.append(user.uid)

    async def save_slot(slot: LeavingSlot) -> None:
        slots.append(slot.slot)

    async with pod(cluster) as old:
        old.on_leaving(save)
        await old.set_linked_pod(HERE, "alice", "game", 0)
        cluster.hand_over("game", 0, 1)
        cluster.hand_over("game", "alice", 1)
        await until(lambda: cluster.links("game") == {"alice": 1})
        assert cluster.slots("game")[0] == 0  # without a handler, the operator moves it
        old.on_slot_leaving(save_slot)
        await until(lambda: cluster.slots("game")[0] == 1)
        old.on_slot_leaving(None)
        cluster.hand_over("game", 2, 1)
        await asyncio.sleep(0.02)
        assert (users, slots, cluster.slots("game")[2]) == (["alice"], [0], 0)


async def test_slots_of_a_further_service(cluster: InMemoryCluster) -> None:
    application = Application()
    async with pod(cluster, 0, "chat") as old:
        old.on_slot_leaving(application.save)
        cluster.hand_over("chat", 2, 1)
        await until(lambda: application.called)
        [slot] = application.called
        assert (slot.service, slot.slot, slot.to) == ("chat", 2, 1)
        assert [slot.has(f"user-{number}") for number in range(9)] == [
            slot_of(f"user-{number}", SLOTS) == 2 for number in range(9)
        ]
        application.may_return.set()
        await until(lambda: cluster.slots("chat")[2] == 1)


async def test_slot_is_not_handed_over_before_its_users_can_be_told(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    get, reads = cluster._client.get, 0  # noqa: SLF001

    async def before_the_route_got_slots(path: str, *arguments: Any, **options: Any) -> bytes:
        nonlocal reads
        response: bytes = await get(path, *arguments, **options)
        if not path.endswith("/statefulroutes/chat"):
            return response
        reads += 1
        route = json.loads(response)
        if reads == 1:
            del route["spec"]["slots"]
        return json.dumps(route).encode()

    monkeypatch.setattr(cluster._client, "get", before_the_route_got_slots)  # noqa: SLF001
    application = Application()
    async with pod(cluster, 0, "chat") as old:
        await until(lambda: reads)
        await asyncio.sleep(0.02)
        assert old.slot_of("alice", "chat") is None
        old.on_slot_leaving(application.save)
        cluster.hand_over("chat", 2, 1)
        await until(lambda: application.called)
        assert any(application.called[0].has(f"user-{number}") for number in range(9))
        application.may_return.set()
        await until(lambda: cluster.slots("chat")[2] == 1)


async def test_withdrawn_and_replaced_hand_overs_of_slots(cluster: InMemoryCluster) -> None:
    cluster.add_service("rooms", pods=3, slots=3, hand_over_seconds=3600)
    application = Application()
    driver = cluster.server_driver("rooms", 0, configuration=STEADY, follow_users=True)
    async with driver as old:
        old.on_slot_leaving(application.save)
        events = old.events()
        cluster.hand_over("rooms", 0, 1)
        await until(lambda: application.called)
        cluster.hand_over("rooms", 0, 2)
        await until(lambda: len(application.called) == 2)
        cluster.withdraw_hand_over("rooms", 0)
        arrived, first, second, staying = await take(events, 4)
        assert (arrived, first.to, second.to) == (SlotArrived("rooms", 0, None), 1, 2)
        assert staying == SlotStaying("rooms", 0)
        await until(lambda: application.cancelled == [0, 0])
        cluster.hand_over("rooms", 0, 2)
        await until(lambda: len(application.called) == 3)
        cluster.end_hand_over("rooms", 0)  # at the time-out
        assert (await take(events, 2))[1] == SlotLeft("rooms", 0, LeaveReason.UNBOUND)
        await until(lambda: application.cancelled == [0, 0, 0])


async def test_slot_takes_only_the_states_of_its_users(cluster: InMemoryCluster) -> None:
    application = Application()
    async with pod(cluster) as old:
        old.on_slot_leaving(application.save)
        cluster.hand_over("game", 0, 1)
        await until(lambda: application.called)
        [slot] = application.called
        uids = [f"user-{number}" for number in range(20)]
        own = next(uid for uid in uids if slot_of(uid, SLOTS) == 0)
        other = next(uid for uid in uids if slot_of(uid, SLOTS) == 1)
        with pytest.raises(InvalidParameterError, match=r"^uid must be of a user of the slot 0$"):
            await slot.send(other, b"state")
        with pytest.raises(InvalidParameterError, match=r"^uid "):
            await slot.send("", b"state")
        with pytest.raises(HandOverError, match=r"Configuration\.hand_over must be set"):
            await slot.send(own, b"state")


async def test_driver_that_does_not_follow_its_users_says_so(cluster: InMemoryCluster) -> None:
    async with cluster.server_driver("game", 0, configuration=STEADY) as driver:
        with pytest.raises(InvalidParameterError, match="follow_users must be set"):
            driver.on_slot_leaving(Application().save)


def test_blocking_handlers(cluster: InMemoryCluster) -> None:
    both_called = threading.Barrier(2)
    withdrawn: list[sync.LeavingSlot] = []

    async def make() -> ServerDriver:
        return cluster.server_driver("game", 0, configuration=STEADY, follow_users=True)

    def save(slot: sync.LeavingSlot) -> None:
        assert (slot.service, slot.to, slot.is_withdrawn) == ("game", 1, False)
        assert slot.has("alice") is (slot_of("alice", SLOTS) == slot.slot)
        withdrawn.append(slot)
        both_called.wait(5)

    in_loop = DriverInLoop(make)
    with sync.ServerDriver(in_loop) as driver:
        driver.on_slot_leaving(save)
        for slot in (0, 2):
            in_loop.read(lambda _, slot=slot: cluster.hand_over("game", slot, 1))  # type: ignore[misc]
        eventually(lambda: driver.slots() == set(), "both slots have moved")
        driver.on_slot_leaving(None)
    assert {slot.slot for slot in withdrawn} == {0, 2}


async def test_users_do_not_wait_behind_slots(cluster: InMemoryCluster) -> None:
    application, left = Application(), list[str]()

    async def leave(user: LeavingUser) -> None:
        left.append(user.uid)

    one = Configuration(drain_seconds=0, hand_over=HandOverConfiguration(max_concurrent=1))
    async with pod(cluster, configuration=one) as here:
        here.on_leaving(leave)
        here.on_slot_leaving(application.save)
        await here.set_linked_pod(HERE, "alice", "game", 0)
        cluster.hand_over("game", 0, 1)
        cluster.hand_over("game", 2, 1)
        await until(lambda: application.called)
        cluster.hand_over("game", "alice", 1)
        await until(lambda: left)
        assert [each.slot for each in application.called] == [0]  # one slot at a time


async def test_number_of_slots_of_a_further_service_that_was_created_again(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statefulroute.driver.hand_over_timeouts._SHORT_CACHE_SECONDS", 0.0)
    async with pod(cluster, 0, "chat") as here:
        await until(lambda: here.number_of_slots("chat") == SLOTS)
        routes = LINKS.replace("podlinks", "statefulroutes")
        cluster._client.update(routes, "chat", {"spec": {"slots": 2 * SLOTS}})  # noqa: SLF001
        cluster.set_slot("chat", 0, None)
        cluster.set_slot("chat", 0, 0)
        await until(lambda: here.number_of_slots("chat") == 2 * SLOTS)
