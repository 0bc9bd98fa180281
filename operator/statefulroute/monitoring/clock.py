"""The metric of the clocks."""

from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily

from statefulroute.cluster.clock import TimeOfDay


class ClockMetrics:
    """Exposes by how much the API servers' clock differs from the process's own.

    Args:
        clock: the time of day of the process.
    """

    def __init__(self, clock: TimeOfDay) -> None:
        self._clock = clock

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yields the metric."""
        yield GaugeMetricFamily(
            "statefulroute_clock_difference_seconds",
            "By how much the API server's clock is ahead of this process's, by the last response that was checked; "
            "negative: it is behind. 0 while they differ by 5 seconds or less.",
            self._clock.difference_seconds,
        )
