"""The resolver's Prometheus metrics."""

from collections.abc import Callable, Iterable

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import Collector

from statefulroute.monitoring.duration_metrics import DurationMetrics, MetricDescription

_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

_HELD_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

_ANSWERS = MetricDescription(
    "statefulroute_resolver_answers",
    "Answers by operation and HTTP status; an operation of ext_proc answers a gateway and no client.",
    ("operation", "code"),
)
_DURATIONS = MetricDescription(
    "statefulroute_resolver_answer_duration_seconds",
    "Time from a request to its answer, without streams of moves and requests that were held.",
    ("operation",),
)


class ResolverMetrics:
    """Counts responses and bindings."""

    def __init__(self) -> None:
        self._answers = DurationMetrics(_ANSWERS, _DURATIONS, _BUCKETS)
        self._links = Counter(
            "statefulroute_resolver_links",
            "Links by outcome: bound (a new uid was bound to a pod), requested (created for a held request, without a "
            "pod), refused (the rate limit refused a new "
            "uid), limited (the route or its namespace had as many links as it may "
            "have), renewed (a temporary link in use was renewed), claimed (a caller bound a uid to a pod), unlinked "
            "(a caller removed a link), named (a response named a uid, which is linked to its pod), conflicting (a "
            "response named a uid that is linked to another pod).",
            ("outcome",),
            registry=None,
        )
        self._streams = Gauge("statefulroute_resolver_streams", "Open streams of moves.", registry=None)
        self._too_old = Counter(
            "statefulroute_resolver_too_old",
            "Look-ups that failed because the cache was older than --max-age.",
            registry=None,
        )
        self._held = Gauge(
            "statefulroute_resolver_held_requests", "Requests that are held until their uids have pods.", registry=None
        )
        self._held_seconds = Histogram(
            "statefulroute_resolver_held_seconds",
            "Time for which requests were held, by outcome: answered, over (--hold-seconds), disconnected (by the "
            "caller), failed.",
            ("outcome",),
            buckets=_HELD_BUCKETS,
            registry=None,
        )
        self._not_held = Counter(
            "statefulroute_resolver_hold_refusals",
            "Requests that were not held, or not any longer, because --max-held were.",
            registry=None,
        )
        for outcome in ("answered", "over", "disconnected", "failed"):
            self._held_seconds.labels(outcome)
        for outcome in (
            "bound",
            "requested",
            "refused",
            "limited",
            "renewed",
            "claimed",
            "unlinked",
            "named",
            "conflicting",
        ):
            self._links.labels(outcome)

    def observe_response(self, operation: str, code: int, seconds: float | None) -> None:
        """Counts a response.

        Args:
            operation: the name of the operation.
            code: the HTTP status.
            seconds: the duration; None is not observed.
        """
        self._answers.observe((operation, code), seconds)

    def count_link(self, outcome: str) -> None:
        """Counts a link by its outcome, for example `bound`."""
        self._links.labels(outcome).inc()

    def count_too_old(self) -> None:
        """Counts a look-up that failed because the cache was too old."""
        self._too_old.inc()

    def observe_hold(self, outcome: str, seconds: float) -> None:
        """Counts a request that is not held any more: `answered`, `over`, `disconnected` or `failed`."""
        self._held_seconds.labels(outcome).observe(seconds)

    def count_hold_refusal(self) -> None:
        """Counts a request that was not held because too many were."""
        self._not_held.inc()

    def track_held(self, number: Callable[[], int]) -> None:
        """Sets the function that returns the number of held requests."""
        self._held.set_function(number)

    def track_streams(self, number: Callable[[], int]) -> None:
        """Sets the function that returns the number of open streams."""
        self._streams.set_function(number)

    @property
    def collectors(self) -> Iterable[Collector]:
        """The collectors to register."""
        held = self._held, self._held_seconds, self._not_held
        return self._answers, self._links, self._streams, self._too_old, *held
