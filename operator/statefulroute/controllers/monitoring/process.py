"""The metrics of the process: whether it leads, and how much work is left."""

from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from statefulroute.controllers.work_queue.backlog import Backlog


class ProcessMetrics:
    """Collects the metrics of this process.

    Args:
        is_leader: returns whether this process is the one that writes.
        losses: returns how often this process has lost the Lease, or has given it up.
        foreign_writes: returns how many statuses of routes other operators have written while this process led.
        backlog: returns the links that are left to reconcile.
    """

    def __init__(
        self,
        is_leader: Callable[[], bool],
        losses: Callable[[], int],
        foreign_writes: Callable[[], int],
        backlog: Callable[[], Backlog],
    ) -> None:
        self._is_leader = is_leader
        self._losses = losses
        self._foreign_writes = foreign_writes
        self._backlog = backlog

    def collect(self) -> Iterator[Metric]:
        """Yields the metric families."""
        backlog = self._backlog()
        yield _gauge("leader", "1 while this process is the leader.", self._is_leader())
        yield _counter(
            "leadership_losses",
            "How often this process has lost the Lease, or has given it up because its work had failed.",
            self._losses(),
        )
        yield _counter(
            "foreign_status_writes",
            "Statuses of routes that another operator has written while this process led.",
            self._foreign_writes(),
        )
        yield _gauge(
            "queue_depth", "Links that wait to be reconciled, are reconciled now, or wait for a retry.", backlog.depth
        )
        yield _gauge(
            "queue_oldest_seconds",
            "How long the oldest of them has waited to be reconciled successfully. Links that wait for a pod do "
            "not count, nor do links whose move the rate limit delays.",
            backlog.oldest_seconds,
        )


def _counter(name: str, documentation: str, value: int) -> CounterMetricFamily:
    family = CounterMetricFamily(f"statefulroute_{name}", documentation)
    family.add_metric((), value)
    return family


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"statefulroute_{name}", documentation, value)
