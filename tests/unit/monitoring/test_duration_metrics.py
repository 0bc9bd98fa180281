"""DurationMetrics exposes the same samples as the library's Counter and Histogram."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.exposition import generate_latest

from statefulroute.monitoring.duration_metrics import DurationMetrics, MetricDescription

COUNTS = MetricDescription("requests", "The number of requests.", ("operation", "code"))
DURATIONS = MetricDescription("request_duration_seconds", "The duration of requests.", ("operation",))
BUCKETS = (0.001, 0.25, 1)

requests_strategy = st.lists(
    st.tuples(
        st.sampled_from(["get", "post", 'a "name"\n']),
        st.sampled_from([200, 404, "unreachable"]),
        st.none() | st.sampled_from(BUCKETS) | st.floats(0, 5),
    )
)


@given(requests_strategy)
def test_samples_equal_those_of_the_library(requests: list[tuple[str, Any, float | None]]) -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]
    expected = CollectorRegistry()
    counter = Counter(*COUNTS, registry=expected)
    histogram = Histogram(*DURATIONS, buckets=BUCKETS, registry=expected)
    metrics = DurationMetrics(COUNTS, DURATIONS, BUCKETS)
    for operation, code, seconds in requests:
        metrics.observe((operation, code), seconds)
        counter.labels(operation, code).inc()
        if seconds is not None:
            histogram.labels(operation).observe(seconds)
    registry = CollectorRegistry()
    registry.register(metrics)
    assert generate_latest(registry) == generate_latest(expected)
