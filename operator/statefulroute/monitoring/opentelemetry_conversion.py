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

_CREATED = "_created"

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
    starts = _start_times(family)
    samples = [sample for sample in family.samples if not sample.name.endswith(_CREATED)]
    data = _CONVERSIONS[family.type](samples, starts, now)
    name = family.name if family.type == "histogram" else samples[0].name
    return Metric(name, family.documentation, _UNITS.get(family.name.rpartition("_")[2], ""), data)


def _start_times(family: Family) -> Mapping[_Labels, int]:
    """Returns when the series began; without such a time, it is unset, as the specification says."""
    return {_key(each): int(each.value * 1e9) for each in family.samples if each.name.endswith(_CREATED)}


def _sum(samples: Iterable[Sample], starts: Mapping[_Labels, int], now: int, *, is_monotonic: bool = True) -> Sum:
    points = [
        NumberDataPoint(sample.labels, starts.get(_key(sample), 0), now, float(sample.value)) for sample in samples
    ]
    return Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic)


def _info(samples: Iterable[Sample], starts: Mapping[_Labels, int], now: int) -> Sum:
    return _sum(samples, starts, now, is_monotonic=False)


def _gauge(samples: Iterable[Sample], starts: Mapping[_Labels, int], now: int) -> Gauge:
    del starts  # a gauge has none
    return Gauge([NumberDataPoint(sample.labels, 0, now, float(sample.value)) for sample in samples])


def _histogram(samples: Iterable[Sample], starts: Mapping[_Labels, int], now: int) -> Histogram:
    by_labels: dict[_Labels, list[Sample]] = {}
    for sample in samples:
        by_labels.setdefault(_key(sample), []).append(sample)
    points = [
        _histogram_point(dict(labels), of_labels, starts.get(labels, 0), now) for labels, of_labels in by_labels.items()
    ]
    return Histogram(points, AggregationTemporality.CUMULATIVE)


def _histogram_point(labels: Mapping[str, str], samples: Iterable[Sample], start: int, now: int) -> HistogramDataPoint:
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
    return HistogramDataPoint(labels, start, now, sum(counts), total, counts, bounds[:-1], unset, unset)


def _key(sample: Sample) -> _Labels:
    return tuple((name, value) for name, value in sample.labels.items() if name != "le")


_CONVERSIONS: Mapping[str, Callable[[list[Sample], Mapping[_Labels, int], int], Sum | Gauge | Histogram]] = {
    "counter": _sum,
    "gauge": _gauge,
    "unknown": _gauge,
    "info": _info,
    "histogram": _histogram,
}
