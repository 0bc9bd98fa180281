"""The queues of subscriptions to events."""

import pytest

from statefulroute.driver.events import EventBroadcaster, EventsLost

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def short_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statefulroute.driver.events._MAX_QUEUED_EVENTS", 3)


async def test_present_state_is_no_fault_of_a_slow_consumer() -> None:
    events = EventBroadcaster[int]()
    subscription = events.subscribe(range(5))
    events.publish(range(5, 8))
    assert [await anext(subscription) for _ in range(8)] == list(range(8))


async def test_queue_does_not_grow_with_each_state() -> None:
    events = EventBroadcaster[int]()
    subscription = events.subscribe()
    for _ in range(10):
        events.publish_state(range(5))
    assert await anext(subscription) == EventsLost(42)
    assert [await anext(subscription) for _ in range(8)] == [2, 3, 4, *range(5)]


async def test_queue_is_short_again_when_the_state_is_taken() -> None:
    events = EventBroadcaster[int]()
    subscription = events.subscribe(range(5))
    for _ in range(5):
        await anext(subscription)
    events.publish(range(5))
    assert await anext(subscription) == EventsLost(2)
