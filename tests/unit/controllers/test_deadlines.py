"""Deadlines: one for each key, and one timer for all."""

import asyncio

import pytest
from structlog.testing import capture_logs

from statefulroute.controllers.deadlines import Deadlines
from unit.controllers.environment import eventually


async def test_callback_is_called_with_the_key_at_its_deadline() -> None:
    expired: list[str] = []
    deadlines = Deadlines(expired.append)
    deadlines.set("late", 0.02)
    deadlines.set("early", 0.0)
    assert sorted(deadlines) == ["early", "late"]
    await eventually(lambda: len(expired) == 2)
    assert expired == ["early", "late"]
    assert not len(deadlines)


async def test_deadline_that_is_set_again_replaces_the_previous_one() -> None:
    expired: list[str] = []
    deadlines = Deadlines(expired.append)
    deadlines.set("key", 0.0)
    first = deadlines.when("key")
    deadlines.set("key", 3600.0)
    assert deadlines.when("key") != first
    await asyncio.sleep(0.01)
    assert expired == []
    assert list(deadlines) == ["key"]
    deadlines.cancel("key")


async def test_cancelled_deadline_calls_nothing() -> None:
    expired: list[str] = []
    deadlines = Deadlines(expired.append)
    deadlines.set("key", 0.0)
    deadlines.cancel("key")
    deadlines.cancel("never set")
    assert "key" not in deadlines
    assert deadlines.when("key") is None
    await asyncio.sleep(0.01)
    assert expired == []


async def test_error_of_a_callback_loses_no_other_deadline() -> None:
    expired: list[str] = []

    def expire(key: str) -> None:
        if key == "defective":
            raise RuntimeError("a defect")
        expired.append(key)

    deadlines = Deadlines(expire)
    deadlines.set("defective", 0.0)
    deadlines.set("other", 0.0)
    with capture_logs() as logs:
        await eventually(lambda: expired == ["other"])
    assert [line["log_level"] for line in logs] == ["error"]
    assert not len(deadlines)


async def test_callback_may_set_the_deadline_again() -> None:
    expired: list[str] = []

    def expire(key: str) -> None:
        expired.append(key)
        if len(expired) < 3:
            deadlines.set(key, 0.0)

    deadlines = Deadlines(expire)
    deadlines.set("key", 0.0)
    await eventually(lambda: len(expired) == 3)
    assert not len(deadlines)


async def test_many_deadlines_share_one_timer_and_let_other_tasks_run(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, timers = asyncio.get_running_loop(), list[float]()
    later = loop.call_later
    monkeypatch.setattr(loop, "call_later", lambda delay, call: timers.append(delay) or later(delay, call))
    expired: list[int] = []
    deadlines = Deadlines(expired.append)
    for number in range(1_000):
        deadlines.set(number, 0.02 + number / 1e6)
        deadlines.set(-number - 1, 3600.0)
        deadlines.cancel(-number - 1)
    assert len(timers) == 1
    turns = 0
    async with asyncio.timeout(10):
        while len(expired) < 1_000:
            turns += len(expired) > 0
            await asyncio.sleep(0)
    assert expired == list(range(1_000))
    assert turns > 1
