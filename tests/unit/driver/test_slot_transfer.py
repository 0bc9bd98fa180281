"""Server drivers send the states of the users of a slot to each other, with a cluster in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any
from unittest.mock import AsyncMock

import pytest

from statefulroute import (
    ArrivalCancelled,
    ArrivingUser,
    Configuration,
    HandOverConfiguration,
    HandOverError,
    LeavingSlot,
    ServerDriver,
    ServerEvent,
    SlotArrived,
    StateTooLargeError,
    UserArrived,
    sync,
)
from statefulroute.domain.slots.hashing import slot_of
from statefulroute.driver.refusals import RefusedError
from statefulroute.sync.loop_thread import DriverInLoop
from statefulroute.testing import InMemoryCluster
from statefulroute.testing.in_memory_transfer import InMemoryTransfer
from support.waiting import eventually

HERE = "play"
SLOTS, PODS = 3, 3
TRANSFERRING = Configuration(drain_seconds=0, hand_over=HandOverConfiguration(max_state_bytes=100))

#: Users of slot 0, which is at the first pod.
USERS = [uid for number in range(40) if slot_of(uid := f"user-{number}", SLOTS) == 0][:5]

Save = Callable[[LeavingSlot], Awaitable[None]]


@pytest.fixture
def cluster() -> InMemoryCluster:
    cluster = InMemoryCluster(HERE)
    cluster.add_service("game", pods=PODS, slots=SLOTS, hand_over_seconds=3600)
    return cluster


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


async def take(events: AsyncIterator[ServerEvent], number: int = 1) -> list[Any]:
    async with asyncio.timeout(5):
        return [await anext(events) for _ in range(number)]


@asynccontextmanager
async def pods(cluster: InMemoryCluster) -> AsyncIterator[tuple[ServerDriver, ServerDriver, AsyncIterator[Any]]]:
    """Runs the drivers of two pods; yields also the events of the second one, after those of its own slot."""
    options: dict[str, Any] = {"configuration": TRANSFERRING, "follow_users": True}
    async with cluster.server_driver("game", 0, **options) as old, cluster.server_driver("game", 1, **options) as new:
        events = new.events()
        await take(events)
        yield old, new, events


def ask_again(cluster: InMemoryCluster) -> None:
    """Asks for another hand-over of slot 0 to the second pod, in place of the present one."""
    asked = {"podIndex": 1, "startTime": "2026-01-01T00:00:01Z"}
    links = f"/apis/statefulroute.io/v1alpha1/namespaces/{HERE}/podlinks"
    cluster._client.update(links, "game.x-slot-0", {"spec": {"handOver": asked}})  # noqa: SLF001


class Received:
    """An application that keeps the states that it receives."""

    def __init__(self) -> None:
        self.states: dict[str, bytes] = {}
        self.numbers: dict[str, int] = {}

    async def receive(self, user: ArrivingUser) -> None:
        self.numbers[user.uid] = user.number
        self.states[user.uid] = await user.read()


def sending(uids: Iterable[str], *, then: Callable[[], Awaitable[object]] | None = None) -> tuple[Save, asyncio.Event]:
    """Returns a handler that sends the states of users, and an event that is set then."""
    is_sent = asyncio.Event()

    async def save(slot: LeavingSlot) -> None:
        if slot.to == 1:
            for uid in uids:
                await slot.send(uid, uid.encode())
        is_sent.set()
        if then is not None:
            await then()

    return save, is_sent


async def forever() -> None:
    await asyncio.Event().wait()


def expected(driver: ServerDriver) -> dict[Any, Any]:
    assert driver._arrivals is not None  # noqa: SLF001
    return driver._arrivals._expected._expected  # noqa: SLF001


async def test_states_of_all_users_arrive_before_the_slot(cluster: InMemoryCluster) -> None:
    application, arriving = Received(), list[ArrivingUser]()

    async def receive(user: ArrivingUser) -> None:
        arriving.append(user)
        await application.receive(user)

    async with pods(cluster) as (old, new, events):
        old.on_slot_leaving(sending(USERS)[0])
        new.on_arriving(receive)
        cluster.hand_over("game", 0, 1)
        assert await take(events) == [SlotArrived("game", 0, None)]
        assert application.states == {uid: uid.encode() for uid in USERS}
        assert {(user.service, user.origin) for user in arriving} == {("game", 0)}
        deadlines = [user.deadline for user in arriving]
        assert (max(deadlines) - min(deadlines)).total_seconds() < 1  # that of the slot
        assert expected(new) == {}
        assert cluster.slots("game")[0] == 1


@pytest.mark.parametrize("pod", [0, 2], ids=["at the old pod", "at a third pod"])
async def test_user_with_a_link_of_its_own_does_not_leave_with_the_slot(cluster: InMemoryCluster, pod: int) -> None:
    application, errors = Received(), list[HandOverError]()

    async def save(slot: LeavingSlot) -> None:
        for uid in USERS[:2]:
            try:
                await slot.send(uid, b"state")
            except HandOverError as error:
                errors.append(error)

    async with pods(cluster) as (old, new, events):
        await old.set_linked_pod(HERE, USERS[0], "game", pod)
        old.on_slot_leaving(save)
        new.on_arriving(application.receive)
        cluster.hand_over("game", 0, 1)
        assert await take(events) == [SlotArrived("game", 0, None)]
        assert application.states == {USERS[1]: b"state"}
        assert [str(error) for error in errors] == [
            "the new pod has refused the user: the link no longer asks for this hand-over"
        ]


async def test_too_large_state_of_one_user_fails_only_that(cluster: InMemoryCluster) -> None:
    application = Received()

    async def save(slot: LeavingSlot) -> None:
        with pytest.raises(StateTooLargeError):
            await slot.send(USERS[0], bytes(101))
        await slot.send(USERS[1], bytes(100))

    async with pods(cluster) as (old, new, events):
        old.on_slot_leaving(save)
        new.on_arriving(application.receive)
        cluster.hand_over("game", 0, 1)
        assert await take(events) == [SlotArrived("game", 0, None)]
        assert application.states[USERS[1]] == bytes(100)


@pytest.mark.parametrize("target", [None, 2], ids=["withdrawn", "to another pod"])
async def test_users_of_a_slot_that_does_not_arrive_are_cancelled(
    cluster: InMemoryCluster, target: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    withdrawals, reads = list[str](), list[str]()
    withdraw, get = InMemoryTransfer.withdraw, cluster._client.get  # noqa: SLF001

    async def count_withdrawals(self: InMemoryTransfer, service: str, uid: str, to: Any) -> None:
        withdrawals.append(uid)
        await withdraw(self, service, uid, to)

    async def count_reads(path: str, *arguments: Any, **options: Any) -> bytes:
        reads.append(path)
        return await get(path, *arguments, **options)

    async with pods(cluster) as (old, new, events):
        save, is_sent = sending(USERS, then=forever)
        old.on_slot_leaving(save)
        new.on_arriving(Received().receive)
        cluster.hand_over("game", 0, 1)
        await is_sent.wait()
        monkeypatch.setattr(InMemoryTransfer, "withdraw", count_withdrawals)
        monkeypatch.setattr(cluster._client, "get", count_reads)  # noqa: SLF001
        if target is None:
            cluster.withdraw_hand_over("game", 0)
        else:
            cluster.hand_over("game", 0, target)
        assert await take(events, 5) == [ArrivalCancelled("game", uid) for uid in USERS]
        assert (withdrawals, len(reads)) == ([USERS[-1]], 1)  # not one for each user
        assert expected(new) == {}


async def test_second_hand_over_to_the_same_pod_keeps_the_states_that_are_sent_again(cluster: InMemoryCluster) -> None:
    async with pods(cluster) as (old, new, events):
        save, is_sent = sending(USERS[:3], then=forever)
        application = Received()
        old.on_slot_leaving(save)
        new.on_arriving(application.receive)
        cluster.hand_over("game", 0, 1)
        await is_sent.wait()
        earlier = dict(application.numbers)
        assert old._hand_overs is not None  # noqa: SLF001
        old._hand_overs._sender = None  # noqa: SLF001 - the new pod does not learn of the withdrawal
        cluster.withdraw_hand_over("game", 0)
        await until(lambda: len(expected(new)) == 1)
        await asyncio.sleep(0.01)  # another start time
        ask_again(cluster)
        assert new._arrivals is not None  # noqa: SLF001

        async def state() -> AsyncIterator[bytes]:
            yield b"again"

        await new._arrivals.take("game", USERS[1], "game-0", state())  # noqa: SLF001
        assert [(each.uid, each.number) for each in await take(events, 3)] == list(earlier.items())
        assert application.numbers[USERS[1]] != earlier[USERS[1]]
        cluster.end_hand_over("game", 0)
        assert await take(events) == [SlotArrived("game", 0, None)]
        assert expected(new) == {}


async def test_state_that_is_being_taken_by_a_second_hand_over_is_not_cancelled(cluster: InMemoryCluster) -> None:
    is_kept, may_return, application = asyncio.Event(), asyncio.Event(), Received()

    async def receive_again(user: ArrivingUser) -> None:
        await user.read()
        if user.uid == USERS[0]:  # the application has the newer state, and has not returned yet
            is_kept.set()
            await may_return.wait()

    async def state() -> AsyncIterator[bytes]:
        yield b"again"

    async with pods(cluster) as (old, new, events):
        save, is_sent = sending(USERS[:2], then=forever)
        old.on_slot_leaving(save)
        new.on_arriving(application.receive)
        cluster.hand_over("game", 0, 1)
        await is_sent.wait()
        assert old._hand_overs is not None  # noqa: SLF001
        assert new._arrivals is not None  # noqa: SLF001
        old._hand_overs._sender = None  # noqa: SLF001 - the new pod does not learn of the withdrawal
        new.on_arriving(receive_again)
        ask_again(cluster)
        first = asyncio.create_task(new._arrivals.take("game", USERS[0], "game-0", state()))  # noqa: SLF001
        await is_kept.wait()
        await new._arrivals.take("game", USERS[1], "game-0", state())  # noqa: SLF001
        may_return.set()
        await first
        cluster.end_hand_over("game", 0)
        earlier = [await anext(events), await anext(events)]
        assert [(each.uid, each.number) for each in earlier] == list(application.numbers.items())
        assert await take(events) == [SlotArrived("game", 0, None)]
        assert expected(new) == {}


async def test_user_who_arrives_by_a_link_is_not_cancelled_with_the_slot(cluster: InMemoryCluster) -> None:
    async with pods(cluster) as (old, new, events):
        save, is_sent = sending(USERS[:2], then=forever)
        old.on_slot_leaving(save)
        new.on_arriving(Received().receive)
        cluster.hand_over("game", 0, 1)
        await is_sent.wait()
        await new.set_linked_pod(HERE, USERS[0], "game", 1)
        cluster.withdraw_hand_over("game", 0)
        assert await take(events, 2) == [
            UserArrived("game", USERS[0], None),
            ArrivalCancelled("game", USERS[1]),
        ]


async def test_old_pod_that_dies_in_between_does_not_lose_the_states_that_it_has_sent(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statefulroute.driver.expected_arrivals._MARGIN_SECONDS", 0.0)
    monkeypatch.setattr("statefulroute.driver.hand_over_timeouts._timeout", lambda _: 0.02)
    application = Received()
    async with pods(cluster) as (old, new, events):
        save, is_sent = sending(USERS[:2], then=forever)
        old.on_slot_leaving(save)
        new.on_arriving(application.receive)
        cluster.hand_over("game", 0, 1)
        await is_sent.wait()
        await old.close()
        await asyncio.sleep(0.05)  # the operator is late
        cluster.end_hand_over("game", 0)
        assert await take(events) == [SlotArrived("game", 0, None)]
        assert application.states.keys() == set(USERS[:2])
        await until(lambda: expected(new) == {})


async def test_late_state_of_a_user_whose_slot_has_arrived_is_not_taken(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_called, ends = asyncio.Event(), list[str]()

    async def receive(user: ArrivingUser) -> None:
        is_called.set()
        try:
            await forever()
        finally:
            ends.append(user.uid)

    async def state() -> AsyncIterator[bytes]:
        yield b"state"

    async with pods(cluster) as (_, new, events):
        new.on_arriving(receive)
        cluster.hand_over("game", 0, 1)
        assert new._arrivals is not None  # noqa: SLF001
        stale = await new._arrivals._check("game", USERS[0], "game-0")  # noqa: SLF001
        sending_late = asyncio.create_task(new._arrivals.take("game", USERS[0], "game-0", state()))  # noqa: SLF001
        await is_called.wait()
        cluster.end_hand_over("game", 0)
        assert await take(events) == [SlotArrived("game", 0, None)]
        with pytest.raises(RefusedError):
            await sending_late
        assert ends == [USERS[0]]
        monkeypatch.setattr(new._arrivals, "_check", AsyncMock(return_value=stale))  # noqa: SLF001
        with pytest.raises(RefusedError):  # the link was read before the slot arrived
            await new._arrivals.take("game", USERS[1], "game-0", state())  # noqa: SLF001
        assert ends == [USERS[0]]


def test_blocking_handlers_transfer_states(cluster: InMemoryCluster) -> None:
    received = dict[str, bytes]()

    def driver(pod: int) -> DriverInLoop[ServerDriver]:
        async def make() -> ServerDriver:
            return cluster.server_driver("game", pod, configuration=TRANSFERRING, follow_users=True)

        return DriverInLoop(make)

    def save(slot: sync.LeavingSlot) -> None:
        for uid in filter(slot.has, USERS):
            slot.send(uid, iter([uid.encode(), b"!"]))

    def receive(user: sync.ArrivingUser) -> None:
        received[user.uid] = user.read()

    in_loop = driver(0)
    with sync.ServerDriver(in_loop) as old, sync.ServerDriver(driver(1)) as new:
        old.on_slot_leaving(save)
        new.on_arriving(receive)
        in_loop.read(lambda _: cluster.hand_over("game", 0, 1))
        eventually(lambda: 0 in new.slots(), "the slot arrives")
        assert received == {uid: f"{uid}!".encode() for uid in USERS}


async def test_earlier_hand_over_that_ends_late_does_not_cancel_newer_states(cluster: InMemoryCluster) -> None:
    is_called, may_return = asyncio.Event(), asyncio.Event()

    async def receive(user: ArrivingUser) -> None:
        await user.read()
        if user.uid == USERS[0]:
            is_called.set()
            await may_return.wait()

    async def state() -> AsyncIterator[bytes]:
        yield b"state"

    async with pods(cluster) as (_, new, events):
        assert new._arrivals is not None  # noqa: SLF001
        new.on_arriving(receive)
        cluster.hand_over("game", 0, 1)
        late = asyncio.create_task(new._arrivals.take("game", USERS[0], "game-0", state()))  # noqa: SLF001
        await is_called.wait()
        ask_again(cluster)
        await new._arrivals.take("game", USERS[1], "game-0", state())  # noqa: SLF001
        may_return.set()
        with pytest.raises(RefusedError):
            await late
        cluster.end_hand_over("game", 0)
        assert await take(events, 2) == [ArrivalCancelled("game", USERS[0]), SlotArrived("game", 0, None)]


async def test_handler_that_ignores_its_cancellation_cancels_no_user_who_has_arrived(cluster: InMemoryCluster) -> None:
    is_called = asyncio.Event()

    async def receive(user: ArrivingUser) -> None:
        await user.read()
        is_called.set()
        with suppress(asyncio.CancelledError):
            await forever()

    async def state() -> AsyncIterator[bytes]:
        yield b"state"

    async with pods(cluster) as (_, new, events):
        new.on_arriving(receive)
        cluster.hand_over("game", 0, 1)
        assert new._arrivals is not None  # noqa: SLF001
        late = asyncio.create_task(new._arrivals.take("game", USERS[0], "game-0", state()))  # noqa: SLF001
        await is_called.wait()
        cluster.end_hand_over("game", 0)
        with pytest.raises(RefusedError):
            await late
        await new.set_linked_pod(HERE, "alice", "game", 1)
        assert await take(events, 2) == [SlotArrived("game", 0, None), UserArrived("game", "alice", None)]


async def test_slow_consumer_can_tell_a_newer_state_from_one_that_is_cancelled(cluster: InMemoryCluster) -> None:
    numbers = list[int]()

    async def receive(user: ArrivingUser) -> None:
        await user.read()
        numbers.append(user.number)

    async with pods(cluster) as (old, new, events):
        save, is_sent = sending(USERS[:1], then=forever)
        old.on_slot_leaving(save)
        new.on_arriving(receive)
        cluster.hand_over("game", 0, 1)
        await is_sent.wait()
        cluster.withdraw_hand_over("game", 0)
        await until(lambda: not expected(new))
        old.on_slot_leaving(sending(USERS[:1])[0])
        cluster.hand_over("game", 0, 1)
        await until(lambda: 0 in new.slots())
        first, second = numbers
        cancelled, arrived = await take(events, 2)  # only now
        assert (cancelled, cancelled.number) == (ArrivalCancelled("game", USERS[0]), first)
        assert (arrived, second != first) == (SlotArrived("game", 0, None), True)


async def test_stop_waits_for_a_slot_whose_states_the_pod_has_taken(cluster: InMemoryCluster) -> None:
    may_commit, application = asyncio.Event(), Received()
    async with pods(cluster) as (old, new, events):
        save, is_sent = sending(USERS[:1], then=may_commit.wait)
        old.on_slot_leaving(save)
        new.on_arriving(application.receive)
        cluster.set_slot("game", 1, 2)
        await take(events)
        cluster.hand_over("game", 0, 1)
        await is_sent.wait()
        stopping = asyncio.create_task(new.stop(5))
        await asyncio.sleep(0.05)
        assert not stopping.done()
        may_commit.set()
        assert await take(events) == [SlotArrived("game", 0, None)]
        assert not stopping.done()
        cluster.set_slot("game", 0, 2)
        async with asyncio.timeout(3):
            await stopping
        assert 0 not in new.slots()


async def test_stop_waits_until_a_slot_is_known_not_to_arrive(cluster: InMemoryCluster) -> None:
    async with pods(cluster) as (old, new, events):
        save, is_sent = sending(USERS[:1], then=forever)
        old.on_slot_leaving(save)
        new.on_arriving(Received().receive)
        cluster.set_slot("game", 1, 2)
        await take(events)
        cluster.hand_over("game", 0, 1)
        await is_sent.wait()
        stopping = asyncio.create_task(new.stop(5))
        cluster.withdraw_hand_over("game", 0)
        async with asyncio.timeout(3):
            await stopping
        assert await take(events) == [ArrivalCancelled("game", USERS[0])]


async def test_state_of_an_earlier_hand_over_does_not_count_where_the_newer_one_was_not_taken(
    cluster: InMemoryCluster,
) -> None:
    async def fail(_: ArrivingUser) -> None:
        raise HandOverError

    async def state() -> AsyncIterator[bytes]:
        yield b"newer"

    async with pods(cluster) as (old, new, events):
        save, is_sent = sending(USERS[:1], then=forever)
        old.on_slot_leaving(save)
        new.on_arriving(Received().receive)
        cluster.hand_over("game", 0, 1)
        await is_sent.wait()
        assert old._hand_overs is not None  # noqa: SLF001
        assert new._arrivals is not None  # noqa: SLF001
        old._hand_overs._sender = None  # noqa: SLF001 - the new pod does not learn of the withdrawal
        new.on_arriving(fail)
        ask_again(cluster)
        with pytest.raises(RefusedError):
            await new._arrivals.take("game", USERS[0], "game-0", state())  # noqa: SLF001
        cluster.end_hand_over("game", 0)  # the newer state is in a store, for example
        assert await take(events, 2) == [ArrivalCancelled("game", USERS[0]), SlotArrived("game", 0, None)]
