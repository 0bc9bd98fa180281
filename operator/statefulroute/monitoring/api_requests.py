"""Metrics of the requests to the API server: their number, status codes and durations."""

from statefulroute.cluster.request_metrics import RequestRecord
from statefulroute.monitoring.duration_metrics import DurationMetrics, MetricDescription

#: The value of the label `code` if the API server did not respond.
UNREACHABLE = "unreachable"

_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

_REQUESTS = MetricDescription(
    "statefulroute_api_requests",
    "Requests to the API server by verb, resource (empty for discovery) and HTTP status; code=unreachable: the API "
    "server did not respond.",
    ("verb", "resource", "code"),
)
_DURATIONS = MetricDescription(
    "statefulroute_api_request_duration_seconds",
    "Time from the request until the whole response is read, including the wait for a free connection; without "
    "watches.",
    ("verb",),
)


class APIRequestMetrics(DurationMetrics):
    """Counts the requests of a client; an observer for `Client`."""

    def __init__(self) -> None:
        super().__init__(_REQUESTS, _DURATIONS, _BUCKETS)

    def __call__(self, request: RequestRecord) -> None:
        """Counts a request."""
        verb, resource, status, seconds = request
        code = UNREACHABLE if status is None else status
        self.observe((verb, resource, code), None if verb == "watch" else seconds)
