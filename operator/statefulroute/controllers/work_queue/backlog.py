"""The metrics of work queues: how much work is left, and how old it is."""

from collections.abc import Hashable, Iterable
from typing import NamedTuple, TypeVar

from statefulroute.controllers.work_queue.queue import WorkQueue

K = TypeVar("K", bound=Hashable)


class Backlog(NamedTuple):
    """The work that is left.

    Attributes:
        depth: how many keys wait, are processed, or wait for a retry.
        oldest_seconds: for how long the oldest of them has waited for its work to succeed; 0 if none is left.
    """

    depth: int = 0
    oldest_seconds: float = 0.0

    def combined_with(self, other: "Backlog") -> "Backlog":
        """Returns the backlog of two queues."""
        return Backlog(self.depth + other.depth, max(self.oldest_seconds, other.oldest_seconds))


def measure_backlog(queue: WorkQueue[K], retries: Iterable[K], failing_since: Iterable[float], now: float) -> Backlog:
    """Measures the backlog of one queue.

    Args:
        queue: the queue.
        retries: the keys that wait for a retry.
        failing_since: the times since which keys that have failed had waited at their first failure.
        now: the time now, by the clock of the queue.
    """
    depth = len(queue) + sum(not queue.is_waiting(key) for key in retries)
    oldest = queue.oldest()
    since = min((*(() if oldest is None else (oldest,)), *failing_since), default=now)
    return Backlog(depth, now - since)
