"""Slots are the same in each form of the server driver: asynchronous, blocking, and as a sidecar over HTTP."""

import asyncio
from datetime import UTC, datetime
from itertools import count

import pytest
import pytest_asyncio

from driver.forms import Form, form
from driver.subjects import close_events, next_event
from statefulroute import (
    InvalidParameterError,
    LeaveReason,
    PodKey,
    SlotArrived,
    SlotLeaving,
    SlotLeft,
    SlotStaying,
    UserNotHeldError,
)
from statefulroute.domain.keys import UidOrSlot
from statefulroute.domain.slots.hashing import slot_of
from support.independent_client import PodLink
from support.service import Service

__all__ = ["form"]  # a fixture

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOTS = 3


@pytest.fixture(scope="module")
def shared_service(shared_service: Service) -> Service:
    """The service of the module, with slots."""
    shared_service.edit_route(slots=SLOTS, handOver={"timeoutSeconds": 600})
    shared_service.await_all_bound(SLOTS)
    return shared_service


def change(form: Form, slot: int, **spec: object) -> None:
    form.service.client.patch(PodLink, f"game.x-slot-{slot}", form.service.namespace, {"spec": spec})


@pytest_asyncio.fixture(loop_scope="module")
async def slot(form: Form) -> int:
    """The only slot of the pod of the form; it has the number of the pod."""

    def place() -> None:
        form.service.await_all_bound(SLOTS)
        for slot in range(SLOTS):
            change(form, slot, podIndex=slot, handOver=None)
        form.service.await_all_bound(SLOTS)

    await asyncio.to_thread(place)
    async with asyncio.timeout(30):
        while await form.call("slots") != {form.pod}:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.02)
    return form.pod


def user_of(slot: int) -> str:
    return next(uid for uid in map("user-{}".format, count()) if slot_of(uid, SLOTS) == slot)


async def test_slots_and_tokens(form: Form, slot: int) -> None:
    other = (slot + 1) % SLOTS
    here, elsewhere = user_of(slot), user_of(other)
    assert await form.call("number_of_slots") == SLOTS
    assert [await form.call("slot_of", uid) for uid in (here, elsewhere)] == [slot, other]
    assert [await form.call("owns", uid, "game") for uid in (here, elsewhere)] == [True, False]
    with pytest.raises(UserNotHeldError):
        await form.call("token", here)
    with pytest.raises(UserNotHeldError):
        await form.call("read_token", elsewhere)
    tokens = [await form.call("read_token", here)]
    await form.call("set_linked_pod", here, "game", slot)
    tokens.append(await form.call("token", here))
    tokens.append(await form.call("read_token", here, "game"))  # the operator may have written the status since
    await form.call("set_linked_pod", here, "game", other)
    with pytest.raises(UserNotHeldError):
        await form.call("read_token", here)
    assert await form.call("remove_linked_pod", here, "game") is True
    tokens.append(await form.call("read_token", here))
    assert tokens[0] < tokens[1] <= tokens[2] < tokens[3]
    for method in ("owns", "slot_of", "read_token"):
        with pytest.raises(InvalidParameterError, match="uid"):
            await form.call(method, "a\0b")
    for method in ("slots", "number_of_slots"):
        with pytest.raises(InvalidParameterError, match="follow"):
            await form.call(method, "lobby")


async def test_a_slot_is_handed_over(form: Form, slot: int) -> None:
    handled: asyncio.Queue[tuple[UidOrSlot, PodKey]] = asyncio.Queue()
    other, may_leave = (slot + 1) % SLOTS, asyncio.Event()

    async def save(each: UidOrSlot, pod: PodKey) -> None:
        handled.put_nowait((each, pod))
        await may_leave.wait()

    async def ask() -> None:
        asked = {"podIndex": other, "startTime": datetime.now(UTC).isoformat()}
        await asyncio.to_thread(change, form, slot, handOver=asked)
        async with asyncio.timeout(30):
            assert await handled.get() == (slot, other)
        leaving = await next_event(events)
        assert isinstance(leaving, SlotLeaving)
        assert (leaving.slot, leaving.to) == (slot, other)

    events = form.subject.events()
    try:
        assert await next_event(events) == SlotArrived("game", slot, None)
        async with form.subject.taking_part(save):
            await ask()
            await asyncio.to_thread(change, form, slot, handOver=None)
            assert await next_event(events) == SlotStaying("game", slot)
            may_leave.set()
            await ask()
            assert await next_event(events) == SlotLeft("game", slot, LeaveReason.UNBOUND)
        await asyncio.to_thread(form.service.await_bound, f"game.x-slot-{slot}")
        await asyncio.to_thread(change, form, slot, podIndex=slot)
        assert await next_event(events) == SlotArrived("game", slot, other)
    finally:
        await close_events(events)
