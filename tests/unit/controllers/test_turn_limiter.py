"""The turns of links: one timer calls the links that wait."""

import asyncio
import time

import pytest
import uvloop

from statefulroute.controllers.links.turn_limiter import TurnLimiter
from statefulroute.domain.keys import LinkKey
from unit.controllers.environment import GAME, eventually


def key(number: int) -> LinkKey:
    return LinkKey(GAME, f"game.{number}")


async def test_waiting_links_are_called_at_the_rate_one_after_another() -> None:
    limiter, called, started = TurnLimiter(50, 4), list[LinkKey](), time.monotonic()

    def resume(link: LinkKey) -> bool:
        called.append(link)
        assert limiter.take_turn(link)
        limiter.release(link)
        return True

    limiter.listen(resume)
    assert limiter.take_turn(key(0))
    limiter.release(key(0))
    assert [limiter.take_turn(key(number)) for number in range(1, 11)] == [False] * 10
    await eventually(lambda: len(called) == 10)
    assert called == [key(number) for number in range(1, 11)]
    assert time.monotonic() - started >= 9.5 / 50


async def test_waiting_links_are_called_when_a_slot_is_free() -> None:
    limiter, called = TurnLimiter(1e6, 1), list[LinkKey]()
    limiter.listen(lambda link: called.append(link) is None)
    assert limiter.take_turn(key(0))
    assert not limiter.take_turn(key(1))
    await asyncio.sleep(0.01)
    assert called == []
    limiter.release(key(0))
    await eventually(lambda: called == [key(1)])


async def test_turn_that_a_link_does_not_need_any_more_is_given_to_the_next_one_at_once() -> None:
    limiter, called = TurnLimiter(1, 4), list[LinkKey]()

    def resume(link: LinkKey) -> bool:
        called.append(link)
        limiter.release(link)
        return True

    limiter.listen(resume)
    assert limiter.take_turn(key(0))
    for number in range(1, 1001):
        limiter.take_turn(key(number))
    async with asyncio.timeout(5):
        await eventually(lambda: len(called) == 1000)


@pytest.mark.parametrize("has_queue", [True, False])
async def test_turn_of_a_link_that_is_not_reconciled_any_more_is_given_back(has_queue: bool) -> None:
    limiter, called = TurnLimiter(2, 4), list[LinkKey]()

    def resume(link: LinkKey) -> bool:
        called.append(link)
        return has_queue

    limiter.listen(resume)
    for number in range(5):
        limiter.take_turn(key(number))
    await asyncio.sleep(0.7)
    assert len(called) == (1 if has_queue else 4)


async def test_timer_stops_when_no_link_waits() -> None:
    limiter = TurnLimiter(1, 1)
    limiter.take_turn(key(0))
    limiter.take_turn(key(1))
    limiter.release(key(0))
    limiter.release(key(1))
    assert limiter._timer is None  # noqa: SLF001 - an idle limiter wakes nobody


def test_links_take_turns_on_the_event_loop_of_the_operator() -> None:
    async def move() -> list[LinkKey]:
        limiter, called = TurnLimiter(1e4, 1), list[LinkKey]()
        limiter.listen(lambda link: called.append(link) is None)
        limiter.take_turn(key(0))
        for number in range(1, 4):
            limiter.take_turn(key(number))
        await asyncio.sleep(0.01)
        limiter.release(key(0))
        limiter.release(key(9))
        await eventually(lambda: len(called) == 3)
        return called

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(move()) == [key(1), key(2), key(3)]
