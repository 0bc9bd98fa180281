"""The turns of routes: one at a time for each route, and a limited number of all."""

import asyncio
from collections import Counter

import pytest
from structlog.testing import capture_logs

from statefulroute.controllers import turns as turns_module
from statefulroute.controllers.turns import RouteTurns
from statefulroute.domain.keys import RouteKey
from unit.controllers.environment import eventually, idle

ONE, TWO, OTHER = RouteKey("games", "one"), RouteKey("games", "two"), RouteKey("chats", "other")


class Turns:
    """Turns that last until a test ends them."""

    def __init__(self, concurrency: int = 4) -> None:
        self.running: list[RouteKey] = []
        self.ended: Counter[RouteKey] = Counter()
        self.cancelled: list[RouteKey] = []
        self.unblocked = asyncio.Event()
        self.failure: Exception | None = None
        self.failures = 0
        self.turns = RouteTurns(self._turn, concurrency, self._count_failure)
        self.turns.start()

    def _count_failure(self) -> None:
        self.failures += 1

    async def _turn(self, route: RouteKey) -> None:
        assert route not in self.running
        self.running.append(route)
        try:
            await self.unblocked.wait()
            if self.failure is not None:
                raise self.failure
            self.ended[route] += 1
        except asyncio.CancelledError:
            self.cancelled.append(route)
            raise
        finally:
            self.running.remove(route)


async def test_route_that_is_added_during_its_turn_has_exactly_one_more() -> None:
    made = Turns()
    for _ in range(3):
        made.turns.add(ONE)
    await idle()
    for _ in range(3):
        made.turns.add(ONE)
    made.unblocked.set()
    await idle()
    assert made.ended == {ONE: 2}


async def test_namespace_whose_turns_hang_leaves_slots_to_others() -> None:
    made = Turns(concurrency=4)
    for number in range(10):
        made.turns.add(RouteKey("games", f"game-{number}"))
    made.turns.add(OTHER)
    await idle()
    assert OTHER in made.running
    assert len(made.running) == 3
    made.unblocked.set()
    await idle()
    assert made.ended.total() == 11


async def test_later_turn_is_replaced_and_an_earlier_one_cancels_it() -> None:
    made = Turns()
    made.unblocked.set()
    made.turns.add_after(ONE, 3600)
    made.turns.ensure(ONE, 0.0)
    await idle()
    assert made.ended == {}, "one is due later"
    made.turns.add_after(ONE, 0.01)
    await eventually(lambda: made.ended[ONE] == 1)
    made.turns.add_after(ONE, 3600)
    made.turns.add(ONE)
    await idle()
    assert made.ended == {ONE: 2}
    made.turns.ensure(ONE, 0.0)
    await idle()
    assert made.ended == {ONE: 3}, "the later turn was cancelled"


async def test_turn_that_is_ensured_while_one_ends_is_not_lost() -> None:
    made = Turns()
    made.turns.add(ONE)
    await idle()
    made.unblocked.set()
    while made.running:  # noqa: ASYNC110 - until the turn has returned, and its task has not ended for the others
        await asyncio.sleep(0)
    made.turns.ensure(ONE, 0.0)
    await idle()
    assert made.ended == {ONE: 2}


async def test_dropped_route_has_no_turn_any_more() -> None:
    made = Turns(concurrency=1)
    for route in (ONE, TWO, OTHER):
        made.turns.add(route)
    await idle()
    made.turns.add(ONE)
    for route in (ONE, TWO):
        made.turns.drop(route, cancels=True)
    await made.turns.wait_ended(ONE)
    made.unblocked.set()
    await idle()
    assert (made.cancelled, made.ended) == ([ONE], {OTHER: 1})


async def test_turn_of_a_dropped_route_has_some_time_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "_END_SECONDS", 0.02)
    made = Turns()
    made.turns.add(ONE)
    await idle()
    made.turns.add(ONE)
    made.turns.drop(ONE)
    made.unblocked.set()
    await made.turns.wait_ended(ONE)
    assert (made.cancelled, made.ended) == ([], {ONE: 1})
    made.unblocked.clear()
    made.turns.add(ONE)
    await idle()
    made.turns.drop(ONE)
    await made.turns.wait_ended(ONE)
    assert made.cancelled == [ONE], "it took too long"


async def test_error_of_a_turn_is_logged_and_ends_no_other() -> None:
    made = Turns()
    made.failure = RuntimeError("a defect")
    made.unblocked.set()
    with capture_logs() as logs:
        made.turns.add(ONE)
        await idle()
    made.failure = None
    made.turns.add(ONE)
    await idle()
    assert [line["route"] for line in logs] == [ONE]
    assert made.ended == {ONE: 1}


async def test_turn_that_fails_is_repeated_although_nothing_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "_RETRY_SECONDS", 0.01, raising=False)
    made = Turns()
    made.failure = RuntimeError("a defect")
    made.unblocked.set()
    with capture_logs() as logs:
        made.turns.add(ONE)
        await eventually(lambda: len(logs) == 2)
        made.failure = None
        await eventually(lambda: made.ended == {ONE: 1})
    assert made.failures == len(logs)


@pytest.mark.parametrize("cancels", [False, True])
async def test_stop_ends_the_turns_that_run_and_drops_the_others(
    cancels: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Turns(concurrency=1)
    made.turns.add(ONE)
    made.turns.add(TWO)
    made.turns.add_after(OTHER, 0.01)
    await idle()
    if cancels:
        await made.turns.stop(cancels=True)
    else:
        stopping = asyncio.create_task(made.turns.stop())
        await idle()
        assert not stopping.done()
        made.unblocked.set()
        await stopping
    assert (made.cancelled, made.ended) == (([ONE], {}) if cancels else ([], {ONE: 1}))
    monkeypatch.setattr(turns_module, "_END_SECONDS", 0.01)
    made.turns.start()
    made.unblocked.clear()
    made.turns.add(TWO)
    await idle()
    await made.turns.stop()
    assert made.cancelled[-1] == TWO, "it took too long"
