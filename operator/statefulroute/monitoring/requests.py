"""How many requests the API server was asked, what came of them, and how long they took."""

from collections.abc import Iterable

from prometheus_client import Counter, Histogram
from prometheus_client.registry import Collector

from statefulroute.cluster.exchange import Exchange

#: What stands in the place of a code where no answer came.
UNREACHABLE = "unreachable"

_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class RequestMetrics:
    """Counts requests; an observer of the client."""

    def __init__(self) -> None:
        self._requests = Counter(
            "statefulroute_api_requests",
            "Requests to the API server by verb, resource (empty where it is asked what there is) and HTTP status; "
            "code=unreachable: no answer came.",
            ("verb", "resource", "code"),
            registry=None,
        )
        self._durations = Histogram(
            "statefulroute_api_request_duration_seconds",
            "From the request to the whole answer, the wait for a free connection included; without watches.",
            ("verb",),
            buckets=_BUCKETS,
            registry=None,
        )
        # The library looks a child up in ten times the time of a dict.
        self._counts: dict[tuple[str, str, int | None], Counter] = {}
        self._durations_of: dict[str, Histogram] = {}

    def __call__(self, exchange: Exchange) -> None:
        """Count a request."""
        verb, resource, code, seconds = exchange
        count = self._counts.get((verb, resource, code))
        if count is None:
            said = UNREACHABLE if code is None else str(code)
            count = self._counts[verb, resource, code] = self._requests.labels(verb, resource, said)
        count.inc()
        if verb == "watch":
            return
        duration = self._durations_of.get(verb)
        if duration is None:
            duration = self._durations_of[verb] = self._durations.labels(verb)
        duration.observe(seconds)

    @property
    def collectors(self) -> Iterable[Collector]:
        """What is exposed."""
        return self._requests, self._durations
