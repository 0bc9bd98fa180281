"""Blocking iterators of the events of a driver."""

from collections.abc import Iterator
from typing import TypeVar

from statefulroute.domain.errors import DriverNotOpenError
from statefulroute.driver.events import EventsLost, Subscription
from statefulroute.driver.lifetime import fork_count
from statefulroute.sync.loop_thread import loop_thread

E = TypeVar("E")


def iterate(events: Subscription[E]) -> Iterator[E | EventsLost]:
    """Returns a blocking iterator of a subscription. It raises `DriverNotOpenError` in a process forked since."""
    forks = fork_count()

    async def next_event() -> E | EventsLost | None:
        return await anext(events, None)

    def generate() -> Iterator[E | EventsLost]:
        while True:
            if forks != fork_count():
                raise DriverNotOpenError("the events belong to the parent of this process: call events() again")
            if (event := loop_thread.run(next_event())) is None:
                return
            yield event

    return generate()
