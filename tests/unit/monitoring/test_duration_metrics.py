"""What is told of answers is what the library would tell."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest

from statefulroute.monitoring.duration_metrics import DurationMetrics, MetricDescription

COUNTS = MetricDescription("answers", "How many there were.", ("operation", "code"))
DURATIONS = MetricDescription("answer_duration_seconds", "How long they took.", ("operation",))
BUCKETS = (0.001, 0.25, 1)

given_answers = st.lists(
    st.tuples(
        st.sampled_from(["get", "post", 'a "name"\n']),
        st.sampled_from([200, 404, "unreachable"]),
        st.none() | st.sampled_from(BUCKETS) | st.floats(0, 5),
    )
)


@given(given_answers)
def test_it_tells_what_the_library_would(answers: list[tuple[str, Any, float | None]]) -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]
    theirs = CollectorRegistry()
    counter = Counter(*COUNTS, registry=theirs)
    histogram = Histogram(*DURATIONS, buckets=BUCKETS, registry=theirs)
    ours = DurationMetrics(COUNTS, DURATIONS, BUCKETS)
    for operation, code, seconds in answers:
        ours.observe((operation, code), seconds)
        counter.labels(operation, code).inc()
        if seconds is not None:
            histogram.labels(operation).observe(seconds)
    registry = CollectorRegistry()
    registry.register(ours)
    assert generate_latest(registry) == generate_latest(theirs)
