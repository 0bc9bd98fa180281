"""The metrics of hand-overs: how they ended, and how long they took."""

from prometheus_client import Counter, Histogram
from prometheus_client.registry import Collector

from statefulroute.domain.hand_over import HandOverResult

_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class HandOverMetrics:
    """Counts and times the hand-overs of all links."""

    def __init__(self) -> None:
        self._results = Counter(
            "statefulroute_hand_overs",
            "Hand-overs that have ended; result=Committed: a client moved the link, TimedOut, PodGone, NotConfigured: "
            "the operator did, Withdrawn, Cancelled: the link keeps its pod.",
            ("result",),
            registry=None,
        )
        for result in HandOverResult:
            self._results.labels(result)
        self._durations = Histogram(
            "statefulroute_hand_over_duration_seconds",
            "From when the operator first saw a hand-over until the link is Bound to the other pod.",
            buckets=_BUCKETS,
            registry=None,
        )

    @property
    def collectors(self) -> tuple[Collector, ...]:
        """The metrics."""
        return self._results, self._durations

    def record(self, result: HandOverResult, seconds: float | None = None) -> None:
        """Counts a hand-over that has ended.

        Args:
            result: how it ended.
            seconds: how long it took; None if this is not known, or the link keeps its pod.
        """
        self._results.labels(result).inc()
        if seconds is not None:
            self._durations.observe(seconds)
