"""Requests that wait for a slot: they get it in turn, and one that is cancelled keeps none."""

import asyncio

import pytest

from statefulroute.cluster.fair_limiter import FairLimiter
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import RouteKey

HOLDER, WAITING, OTHER = RouteKey("a", "x"), RouteKey("b", "x"), RouteKey("c", "x")


class Requests:
    """Requests that hold their slot until the test ends them."""

    def __init__(self, total: int = 1) -> None:
        self.slots = FairSlots(total)
        self.limiter = FairLimiter(self.slots)
        self.in_progress: list[RouteKey] = []
        self.may_end = asyncio.Event()

    async def send(self, route: RouteKey) -> None:
        async with self.limiter.slot(route):
            self.in_progress.append(route)
            await self.may_end.wait()

    async def start(self, *routes: RouteKey) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.send(route)) for route in routes]
        await settle()
        return tasks


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_request_starts_at_once_while_a_slot_is_free() -> None:
    requests = Requests(4)
    tasks = await requests.start(HOLDER, WAITING)
    assert (requests.in_progress, requests.slots.waiting) == ([HOLDER, WAITING], 0)
    requests.may_end.set()
    await asyncio.gather(*tasks)
    assert requests.slots.used == 0


async def test_request_that_waits_has_the_slot_of_one_that_has_ended() -> None:
    requests = Requests()
    tasks = await requests.start(HOLDER, WAITING)
    assert requests.in_progress == [HOLDER]
    requests.may_end.set()
    await asyncio.gather(*tasks)
    assert (requests.in_progress, requests.slots.used) == ([HOLDER, WAITING], 0)


@pytest.mark.parametrize("is_granted", [False, True])
@pytest.mark.parametrize("cancels_first", [False, True])
async def test_cancelled_request_leaves_its_slot_to_the_next_one(is_granted: bool, cancels_first: bool) -> None:
    requests = Requests()
    holder, waiting, other = await requests.start(HOLDER, WAITING, OTHER)
    if cancels_first:
        waiting.cancel()
    if is_granted:
        requests.slots.release(HOLDER)  # before the task that waits runs again
        slots = requests.slots
        slots._used += 1  # noqa: SLF001 - the slot of the holder, which it gives back again
        slots._namespaces["a"] = slots._namespaces.get("a", 0) + 1  # noqa: SLF001
        slots._routes[HOLDER] = slots._routes.get(HOLDER, 0) + 1  # noqa: SLF001
    waiting.cancel()
    await settle()
    requests.may_end.set()
    await asyncio.gather(holder, other)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (requests.in_progress, requests.slots.used, requests.slots.waiting) == ([HOLDER, OTHER], 0, 0)
