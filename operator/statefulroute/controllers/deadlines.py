"""Deadlines by key: one heap and one timer of the event loop for all of them."""

import asyncio
import heapq
from collections.abc import Callable, Hashable, Iterator
from itertools import count
from typing import Generic, TypeVar

import structlog

K = TypeVar("K", bound=Hashable)

log = structlog.get_logger(__name__)

#: A timer of an event loop may fire this much too early, because it counts whole milliseconds.
_RESOLUTION_SECONDS = 0.001

#: How many callbacks are called before other tasks run.
_BATCH_SIZE = 200

#: The smallest number of entries at which outdated ones are dropped.
_MIN_COMPACTION_THRESHOLD = 64


class Deadlines(Generic[K]):
    """At most one deadline for each key.

    Args:
        callback: called with a key when its deadline is reached.
    """

    def __init__(self, callback: Callable[[K], object]) -> None:
        self._callback = callback
        self._deadlines: dict[K, float] = {}
        """The deadline of each key, by the clock of the event loop."""
        self._heap: list[tuple[float, int, K]] = []
        """Deadlines, with a number that no other entry has, and keys; those that were replaced or cancelled remain."""
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = 0.0
        """When the timer fires. uvloop's timers do not know their time if it is now."""

    def __len__(self) -> int:
        return len(self._deadlines)

    def __iter__(self) -> Iterator[K]:
        return iter(self._deadlines)

    def __contains__(self, key: object) -> bool:
        return key in self._deadlines

    def when(self, key: K) -> float | None:
        """Returns when a key's deadline is reached, by the clock of the event loop; None if it has none."""
        return self._deadlines.get(key)

    def set(self, key: K, seconds: float) -> None:
        """Sets the deadline of a key, in place of the one that it has."""
        deadline = asyncio.get_running_loop().time() + seconds
        self._deadlines[key] = deadline
        heapq.heappush(self._heap, (deadline, next(self._numbers), key))
        if len(self._heap) > 2 * len(self._deadlines) + _MIN_COMPACTION_THRESHOLD:
            self._heap = [(deadline, next(self._numbers), key) for key, deadline in self._deadlines.items()]
            heapq.heapify(self._heap)
        self._set_timer()

    def cancel(self, key: K) -> None:
        """Removes the deadline of a key, if it has one."""
        self._deadlines.pop(key, None)
        if not self._deadlines:
            self._heap.clear()
            self._cancel_timer()

    def _set_timer(self) -> None:
        if not self._heap:
            return
        deadline = self._heap[0][0]
        if self._timer is not None and self._fires_at <= deadline:
            return  # it is set again when it fires
        self._cancel_timer()
        loop = asyncio.get_running_loop()
        self._fires_at = deadline
        self._timer = loop.call_later(max(0.0, deadline - loop.time()), self._expire)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        now, due = asyncio.get_running_loop().time() + _RESOLUTION_SECONDS, list[tuple[float, K]]()
        while self._heap and self._heap[0][0] <= now and len(due) < _BATCH_SIZE:
            deadline, _, key = heapq.heappop(self._heap)
            due.append((deadline, key))
        self._set_timer()
        for deadline, key in due:
            if self._deadlines.get(key) == deadline:
                del self._deadlines[key]
                try:
                    self._callback(key)
                except Exception:
                    # Otherwise, the deadlines after this one would never be reached.
                    log.exception("an unexpected error")
