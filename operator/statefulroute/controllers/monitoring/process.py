"""The process itself: whether it leads, and what it has to do."""

from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from statefulroute.controllers.work_queue import Backlog


class ProcessMetrics:
    """Tells of this process.

    Args:
        is_leader: whether it is the one that writes.
        backlog: the links that it has to work on.
    """

    def __init__(self, is_leader: Callable[[], bool], backlog: Callable[[], Backlog]) -> None:
        self._is_leader = is_leader
        self._backlog = backlog

    def collect(self) -> Iterator[Metric]:
        """The families."""
        backlog = self._backlog()
        yield _gauge("leader", "1 while this process is the one that writes.", self._is_leader())
        yield _gauge("queue_depth", "Links that wait for work, are worked on, or are to be tried again.", backlog.depth)
        yield _gauge(
            "queue_oldest_seconds",
            "For how long the oldest of them has waited for its work to succeed. Links that wait for a pod do not "
            "count, nor those whose move has its turn later.",
            backlog.oldest_seconds,
        )


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"statefulroute_{name}", documentation, value)
