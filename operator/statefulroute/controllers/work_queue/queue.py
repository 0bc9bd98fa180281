"""The queue itself: it deduplicates keys and keeps a key from being processed twice at the same time."""

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from statefulroute.controllers.work_queue.priority_queue import Priority, PriorityQueue

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """A level-triggered queue of keys: a key means that its object has changed, not how.

    As in client-go's work queue, a key waits once, however often it was added, and a key that is added while it is
    processed (a *dirty* key) waits again when its processing is done.

    Args:
        clock: returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: PriorityQueue[K] = PriorityQueue()
        self._processing: dict[K, float] = {}
        """Each key with the time since which it had waited."""
        self._dirty: set[K] = set()

    def __len__(self) -> int:
        """Returns the number of keys that wait or are processed."""
        return len(self._waiting) + len(self._processing)

    @property
    def waiting(self) -> int:
        """The number of keys that wait."""
        return len(self._waiting)

    def is_waiting(self, key: K) -> bool:
        """Returns whether a key waits."""
        return key in self._waiting

    def is_processing(self, key: K) -> bool:
        """Returns whether a key is processed."""
        return key in self._processing

    def add(self, key: K, priority: Priority = Priority.HIGH) -> bool:
        """Adds a key; returns whether it waits now, which it does not while it is processed."""
        if key in self._processing:
            self._dirty.add(key)
            return False
        self._waiting.add(key, self._clock(), priority)
        return True

    def get(self) -> K:
        """Takes the next key for processing; the caller calls `done` with it afterwards.

        Raises:
            KeyError: no key waits.
        """
        key, since = self._waiting.pop()
        self._processing[key] = since
        return key

    def done(self, key: K) -> bool:
        """Ends the processing of a key; returns whether the key waits again because it was added meanwhile."""
        del self._processing[key]
        if key not in self._dirty:
            return False
        self._dirty.discard(key)
        return self.add(key)

    def processing_since(self, key: K) -> float:
        """Returns the time since which a key that is processed had waited."""
        return self._processing[key]

    def restart_waits(self) -> None:
        """Makes every waiting key wait from now on."""
        self._waiting.restart_waits(self._clock())

    def oldest(self) -> float | None:
        """Returns the time since which the oldest key waits or had waited; None if the queue is empty."""
        waiting = self._waiting.oldest()
        return min((*(() if waiting is None else (waiting,)), *self._processing.values()), default=None)
