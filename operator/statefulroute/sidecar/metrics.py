"""The sidecar's Prometheus metrics."""

from collections.abc import Callable, Iterable

from prometheus_client import Gauge
from prometheus_client.registry import Collector

from statefulroute.monitoring.duration_metrics import DurationMetrics, MetricDescription

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

_ANSWERS = MetricDescription(
    "statefulroute_sidecar_answers", "Answers by operation and HTTP status.", ("operation", "code")
)
_DURATIONS = MetricDescription(
    "statefulroute_sidecar_answer_duration_seconds",
    "Time from a request to its answer, without streams of events, stops and transfers of states.",
    ("operation",),
)


class SidecarMetrics:
    """Counts responses and streams."""

    def __init__(self) -> None:
        self._answers = DurationMetrics(_ANSWERS, _DURATIONS, _BUCKETS)
        self._streams = Gauge("statefulroute_sidecar_streams", "Open streams of events.", registry=None)

    def observe_response(self, operation: str, code: int, seconds: float | None) -> None:
        """Counts a response.

        Args:
            operation: the name of the operation.
            code: the HTTP status.
            seconds: the duration; None is not observed.
        """
        self._answers.observe((operation, code), seconds)

    def track_streams(self, number: Callable[[], int]) -> None:
        """Sets the function that returns the number of open streams."""
        self._streams.set_function(number)

    @property
    def collectors(self) -> Iterable[Collector]:
        """The collectors to register."""
        return self._answers, self._streams
