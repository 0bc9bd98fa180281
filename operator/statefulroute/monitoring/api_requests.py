"""How many requests the API server was asked, what came of them, and how long they took."""

from statefulroute.cluster.request_metrics import RequestRecord
from statefulroute.monitoring.duration_metrics import DurationMetrics, MetricDescription

#: What stands in the place of a code where no answer came.
UNREACHABLE = "unreachable"

_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

_REQUESTS = MetricDescription(
    "statefulroute_api_requests",
    "Requests to the API server by verb, resource (empty where it is asked what there is) and HTTP status; "
    "code=unreachable: no answer came.",
    ("verb", "resource", "code"),
)
_DURATIONS = MetricDescription(
    "statefulroute_api_request_duration_seconds",
    "From the request to the whole answer, the wait for a free connection included; without watches.",
    ("verb",),
)


class APIRequestMetrics(DurationMetrics):
    """Counts requests; an observer of the client."""

    def __init__(self) -> None:
        super().__init__(_REQUESTS, _DURATIONS, _BUCKETS)

    def __call__(self, exchange: RequestRecord) -> None:
        """Count a request."""
        verb, resource, code, seconds = exchange
        said = UNREACHABLE if code is None else code
        self.observe((verb, resource, said), None if verb == "watch" else seconds)
