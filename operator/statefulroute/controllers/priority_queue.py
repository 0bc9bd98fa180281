"""Two lines in which keys wait, served by turns: a long one keeps nobody of the other waiting."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class PriorityQueue(Generic[K]):
    """Keys in order, each in one of two lines: those that have changed, and those that are looked at all the same.

    Times are of any clock that does not go back.
    """

    def __init__(self) -> None:
        # A plain dict finds its first key in a time that grows with the keys that were taken before.
        self._high: OrderedDict[K, float] = OrderedDict()
        self._low: OrderedDict[K, float] = OrderedDict()
        """Each with the time since when it waits: the first of a line has waited for the longest time."""
        self._served_last, self._served_next = self._low, self._high

    def __len__(self) -> int:
        return len(self._high) + len(self._low)

    def __contains__(self, key: object) -> bool:
        return key in self._high or key in self._low

    def add(self, key: K, now: float) -> None:
        """Let a key wait that has changed. It leaves the other line, where it may have been far behind."""
        self._low.pop(key, None)
        self._high.setdefault(key, now)

    def add_low(self, key: K, now: float) -> None:
        """Let a key wait that is looked at with many others, unless it waits already."""
        if key not in self._high:
            self._low.setdefault(key, now)

    def pop(self) -> tuple[K, float]:
        """The key whose turn it is, and the time since when it has waited; there is one at the least."""
        self._served_last, self._served_next = self._served_next, self._served_last
        return (self._served_last or self._served_next).popitem(last=False)

    def oldest(self) -> float | None:
        """The time since when the key waits that has waited for the longest time."""
        return min((next(iter(line.values())) for line in (self._high, self._low) if line), default=None)

    def restart_waits(self, now: float) -> None:
        """Let the waiting of all have begun just now."""
        for line in (self._high, self._low):
            for key in line:
                line[key] = now
