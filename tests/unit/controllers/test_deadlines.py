"""Deadlines: one timer for each key."""

import asyncio

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
