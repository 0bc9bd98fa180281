"""Timers by key."""

import asyncio
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Deadlines(Generic[K]):
    """At most one timer of the event loop for each key.

    Args:
        callback: called with a key when its deadline is reached.
    """

    def __init__(self, callback: Callable[[K], object]) -> None:
        self._callback = callback
        self._timers: dict[K, tuple[float, asyncio.TimerHandle]] = {}
        """The time of the event loop, and the timer. uvloop's timers do not know their time if it is now."""

    def __len__(self) -> int:
        return len(self._timers)

    def __iter__(self) -> Iterator[K]:
        return iter(self._timers)

    def __contains__(self, key: object) -> bool:
        return key in self._timers

    def when(self, key: K) -> float | None:
        """Returns when a key's deadline is reached, by the clock of the event loop; None if it has none."""
        entry = self._timers.get(key)
        return None if entry is None else entry[0]

    def set(self, key: K, seconds: float) -> None:
        """Sets the deadline of a key, in place of the one that it has."""
        self.cancel(key)
        loop = asyncio.get_running_loop()
        self._timers[key] = (loop.time() + seconds, loop.call_later(seconds, self._expire, key))

    def cancel(self, key: K) -> None:
        """Removes the deadline of a key, if it has one."""
        if (entry := self._timers.pop(key, None)) is not None:
            entry[1].cancel()

    def _expire(self, key: K) -> None:
        del self._timers[key]
        self._callback(key)
