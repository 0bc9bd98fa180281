"""Converts metrics of Prometheus to those of OpenTelemetry.

The rules are those of OpenTelemetry's specification, "Prometheus and OpenMetrics Compatibility": names stay as they are
scraped. So queries, alerts and dashboards are the same for metrics that are scraped and those that are sent.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

#: The units of metrics, by the word that names of metrics end with.
_UNITS = {"seconds": "s", "bytes": "By"}

#: The start of a series is unset: the processes do not expose it, as `_created`, to Prometheus either.
_UNSET = 0

_Labels = tuple[tuple[str, str], ...]


def convert(families: Iterable[Family], nanoseconds: int) -> list[Metric]:
    """Converts metrics.

    Args:
        families: the metrics of Prometheus.
        nanoseconds: the time of their values, since 1970.

    Raises:
        KeyError: there is no equal type in OpenTelemetry's SDK.
    """
    return [_convert(family, nanoseconds) for family in families if family.samples]


def _convert(family: Family, now: int) -> Metric:
    data = _CONVERSIONS[family.type](family.samples, now)
    name = family.name if family.type == "histogram" else family.samples[0].name
    return Metric(name, family.documentation, _UNITS.get(family.name.rpartition("_")[2], ""), data)


def _sum(samples: Iterable[Sample], now: int, *, is_monotonic: bool = True) -> Sum:
    return Sum(_points(samples, now), AggregationTemporality.CUMULATIVE, is_monotonic)


def _info(samples: Iterable[Sample], now: int) -> Sum:
    return _sum(samples, now, is_monotonic=False)


def _gauge(samples: Iterable[Sample], now: int) -> Gauge:
    return Gauge(_points(samples, now))


def _points(samples: Iterable[Sample], now: int) -> list[NumberDataPoint]:
    return [NumberDataPoint(sample.labels, _UNSET, now, float(sample.value)) for sample in samples]


def _histogram(samples: Iterable[Sample], now: int) -> Histogram:
    by_labels: dict[_Labels, list[Sample]] = {}
    for sample in samples:
        by_labels.setdefault(_key(sample), []).append(sample)
    points = [_histogram_point(dict(labels), of_labels, now) for labels, of_labels in by_labels.items()]
    return Histogram(points, AggregationTemporality.CUMULATIVE)


def _histogram_point(labels: Mapping[str, str], samples: Iterable[Sample], now: int) -> HistogramDataPoint:
    """Converts cumulative buckets with upper bounds to the counts of buckets between bounds."""
    cumulative: dict[float, float] = {}
    total = 0.0
    for sample in samples:
        if sample.name.endswith("_bucket"):
            cumulative[float(sample.labels["le"])] = sample.value
        elif sample.name.endswith("_sum"):
            total = sample.value
    bounds = sorted(cumulative)
    counts = [int(high - low) for low, high in pairwise([0.0, *(cumulative[bound] for bound in bounds)])]
    unset: Any = None  # Prometheus has no minimum and no maximum
    return HistogramDataPoint(labels, _UNSET, now, sum(counts), total, counts, bounds[:-1], unset, unset)


def _key(sample: Sample) -> _Labels:
    return tuple((name, value) for name, value in sample.labels.items() if name != "le")


_CONVERSIONS: Mapping[str, Callable[[list[Sample], int], Sum | Gauge | Histogram]] = {
    "counter": _sum,
    "gauge": _gauge,
    "unknown": _gauge,
    "info": _info,
    "histogram": _histogram,
}
