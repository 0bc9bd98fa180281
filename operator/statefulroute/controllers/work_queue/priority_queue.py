"""A FIFO queue of two priorities that are served in turn, so that neither delays the other for long."""

from collections import OrderedDict
from collections.abc import Hashable
from enum import Enum, auto
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Priority(Enum):
    """How urgent a key is."""

    HIGH = auto()
    """The object of the key has changed."""
    LOW = auto()
    """The object has not changed itself: it is checked because something else has, often together with many others."""


class PriorityQueue(Generic[K]):
    """Keys in the order of their arrival, in one FIFO queue for each priority.

    Each key waits once, and `pop` serves the two priorities in turn. Times are those of any clock that does not go
    back.
    """

    def __init__(self) -> None:
        # A plain dict finds its first key in a time that grows with the number of keys that were removed before it.
        self._high: OrderedDict[K, float] = OrderedDict()
        self._low: OrderedDict[K, float] = OrderedDict()
        """Each key with the time since which it waits, the oldest first."""
        self._served_last, self._served_next = self._low, self._high

    def __len__(self) -> int:
        return len(self._high) + len(self._low)

    def __contains__(self, key: object) -> bool:
        return key in self._high or key in self._low

    def add(self, key: K, now: float, priority: Priority = Priority.HIGH) -> None:
        """Adds a key unless it waits already; a key of low priority that is added with a high one is promoted."""
        if priority is Priority.HIGH:
            self._low.pop(key, None)
            self._high.setdefault(key, now)
        elif key not in self._high:
            self._low.setdefault(key, now)

    def pop(self) -> tuple[K, float]:
        """Removes the next key and returns it with the time since which it waited.

        Raises:
            KeyError: the queue is empty.
        """
        self._served_last, self._served_next = self._served_next, self._served_last
        return (self._served_last or self._served_next).popitem(last=False)

    def oldest(self) -> float | None:
        """Returns the time since which the oldest key waits; None if the queue is empty."""
        return min((next(iter(queue.values())) for queue in (self._high, self._low) if queue), default=None)

    def restart_waits(self, now: float) -> None:
        """Makes every key wait from now on."""
        for queue in (self._high, self._low):
            for key in queue:
                queue[key] = now
