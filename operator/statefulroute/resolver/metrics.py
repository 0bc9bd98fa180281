"""What the resolver tells Prometheus of its work."""

from collections.abc import Callable, Iterable

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import Collector

_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class ResolverMetrics:
    """Counts answers and bindings."""

    def __init__(self) -> None:
        self._answers = Counter(
            "statefulroute_resolver_answers",
            "Answers by operation and HTTP status; an operation of ext_proc answers a gateway and no client.",
            ("operation", "code"),
            registry=None,
        )
        self._durations = Histogram(
            "statefulroute_resolver_answer_duration_seconds",
            "From a request to its answer; without streams of moves.",
            ("operation",),
            buckets=_BUCKETS,
            registry=None,
        )
        self._links = Counter(
            "statefulroute_resolver_links",
            "Links by what was done with them: bound (a new uid was given a pod), refused (new uids came too fast), "
            "renewed (a temporary link in use lives on).",
            ("outcome",),
            registry=None,
        )
        self._streams = Gauge("statefulroute_resolver_streams", "Who listens to moves now.", registry=None)
        # The library looks a child up in ten times the time of a dict.
        self._counts: dict[tuple[str, int], Counter] = {}
        self._durations_of: dict[str, Histogram] = {}
        for outcome in ("bound", "refused", "renewed"):
            self._links.labels(outcome)

    def answered(self, operation: str, code: int, seconds: float | None) -> None:
        """Count an answer.

        Args:
            operation: what was asked for.
            code: the HTTP status.
            seconds: how long it took; None is not told.
        """
        count = self._counts.get((operation, code))
        if count is None:
            count = self._counts[operation, code] = self._answers.labels(operation, str(code))
        count.inc()
        if seconds is None:
            return
        duration = self._durations_of.get(operation)
        if duration is None:
            duration = self._durations_of[operation] = self._durations.labels(operation)
        duration.observe(seconds)

    def link(self, outcome: str) -> None:
        """Count a link that was `bound`, `refused` or `renewed`."""
        self._links.labels(outcome).inc()

    def follow_streams(self, number: Callable[[], int]) -> None:
        """Tell how many listen to moves, whenever that is asked for."""
        self._streams.set_function(number)

    @property
    def collectors(self) -> Iterable[Collector]:
        """What is exposed."""
        return self._answers, self._durations, self._links, self._streams
