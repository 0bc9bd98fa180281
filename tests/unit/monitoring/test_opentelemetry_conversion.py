"""Metrics of Prometheus as OpenTelemetry's, encoded as they are sent."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
    UnknownMetricFamily,
)

from statefulroute.monitoring.duration_metrics import DurationMetrics, MetricDescription
from statefulroute.monitoring.opentelemetry_conversion import convert

NOW = 1_700_000_000_000_000_000
CUMULATIVE = "AGGREGATION_TEMPORALITY_CUMULATIVE"


def sent(*families: Metric) -> list[dict[str, Any]]:
    """Returns the metrics of the request that is sent for metrics of Prometheus."""
    scope = ScopeMetrics(InstrumentationScope("test"), convert(families, NOW), "")
    request = encode_metrics(MetricsData([ResourceMetrics(Resource({}), [scope], "")]))
    ((of_scope,),) = [each.scope_metrics for each in request.resource_metrics]
    return [MessageToDict(metric) for metric in of_scope.metrics]


def attributes(**labels: str) -> list[dict[str, Any]]:
    return [{"key": name, "value": {"stringValue": value}} for name, value in labels.items()]


def point(value: float, **labels: str) -> dict[str, Any]:
    named = {"attributes": attributes(**labels)} if labels else {}
    return {**named, "timeUnixNano": str(NOW), "asDouble": value}


def test_counter_keeps_its_name_and_is_a_monotonic_sum() -> None:
    family = CounterMetricFamily("links_moved", "The moved links.", labels=["route"])
    family.add_metric(["game"], 3)
    family.add_metric([""], 0.5)
    assert sent(family) == [
        {
            "name": "links_moved_total",
            "description": "The moved links.",
            "sum": {
                "dataPoints": [point(3.0, route="game"), point(0.5, route="")],
                "aggregationTemporality": CUMULATIVE,
                "isMonotonic": True,
            },
        }
    ]


@pytest.mark.parametrize("kind", [GaugeMetricFamily, UnknownMetricFamily])
def test_gauge_is_a_gauge(kind: type[GaugeMetricFamily]) -> None:
    (metric,) = sent(kind("pods", "The pods.", 7))
    assert metric == {"name": "pods", "description": "The pods.", "gauge": {"dataPoints": [point(7.0)]}}


def test_information_is_a_sum_that_is_not_monotonic() -> None:
    (metric,) = sent(InfoMetricFamily("build", "The version.", {"version": "1.2"}))
    assert metric == {
        "name": "build_info",
        "description": "The version.",
        "sum": {"dataPoints": [point(1.0, version="1.2")], "aggregationTemporality": CUMULATIVE},
    }


def test_histogram_has_the_count_of_each_bucket() -> None:
    family = HistogramMetricFamily("wait_seconds", "The waits.", labels=["verb"])
    family.add_metric(["get"], [("0.1", 2), ("0.5", 2), ("1.0", 5), ("+Inf", 6)], 9.5)
    family.add_metric(["put"], [("0.1", 0), ("0.5", 1), ("1.0", 1), ("+Inf", 1)], 0.25)
    (metric,) = sent(family)
    shared = {"timeUnixNano": str(NOW), "explicitBounds": [0.1, 0.5, 1.0]}
    assert metric == {
        "name": "wait_seconds",
        "description": "The waits.",
        "unit": "s",
        "histogram": {
            "dataPoints": [
                {
                    "attributes": attributes(verb="get"),
                    "count": "6",
                    "sum": 9.5,
                    "bucketCounts": ["2", "0", "3", "1"],
                    **shared,
                },
                {
                    "attributes": attributes(verb="put"),
                    "count": "1",
                    "sum": 0.25,
                    "bucketCounts": ["0", "1", "0", "0"],
                    **shared,
                },
            ],
            "aggregationTemporality": CUMULATIVE,
        },
    }


def test_durations_of_requests_are_converted() -> None:
    metrics = DurationMetrics(
        MetricDescription("requests", "Requests.", ("verb", "code")),
        MetricDescription("request_duration_seconds", "Durations.", ("verb",)),
        (0.1, 1.0),
    )
    for seconds in (0.05, 0.1, 0.5, 3.0, None):
        metrics.observe(("get", 200), seconds)
    counter, histogram = sent(*metrics.collect())
    assert counter["sum"]["dataPoints"] == [point(5.0, verb="get", code="200")]
    (of_get,) = histogram["histogram"]["dataPoints"]
    assert (of_get["bucketCounts"], of_get["count"], of_get["sum"]) == (["2", "1", "1"], "4", 3.65)


@pytest.mark.parametrize(
    ("name", "unit"),
    [("age_seconds", "s"), ("memory_bytes", "By"), ("seconds_since_start", None), ("links", None)],
)
def test_unit_is_that_at_the_end_of_the_name(name: str, unit: str | None) -> None:
    counter, gauge = sent(CounterMetricFamily(name, ".", 1), GaugeMetricFamily(name, ".", 1))
    assert (counter.get("unit"), gauge.get("unit")) == (unit, unit)


def test_metric_without_samples_is_not_sent() -> None:
    assert sent(CounterMetricFamily("links_moved", "The moved links.", labels=["route"])) == []


def library_metrics() -> Iterator[Metric]:
    """Yields metrics as the processes expose them: without the times of creation."""
    registry = CollectorRegistry()
    Counter("done", "Done.", ["verb"], registry=registry).labels("get").inc()
    Histogram("wait", "Waits.", registry=registry, buckets=(1, 2)).observe(1.5)
    for family in registry.collect():
        family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
        yield family


def test_metrics_of_the_library_are_converted() -> None:
    done, wait = sent(*library_metrics())
    assert (done["name"], [each["asDouble"] for each in done["sum"]["dataPoints"]]) == ("done_total", [1.0])
    assert [each["bucketCounts"] for each in wait["histogram"]["dataPoints"]] == [["0", "1", "0"]]


def test_type_without_an_equal_is_an_error() -> None:
    with pytest.raises(KeyError, match="summary"):
        sent(SummaryMetricFamily("wait", "Waits.", count_value=1, sum_value=1.0))
