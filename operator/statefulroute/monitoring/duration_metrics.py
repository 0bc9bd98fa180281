"""Answers as Prometheus is told of them: how many there were, and how long they took."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class MetricDescription(NamedTuple):
    """A metric.

    Attributes:
        name: without the end that its kind has.
        documentation: what it tells, as a sentence.
        labels: what its values are told apart by.
    """

    name: str
    documentation: str
    labels: Sequence[str]


class DurationMetrics(Collector):
    """Counts answers by all labels, and their durations by the first.

    It does what the library's Counter and Histogram do, in a fifth of the time: some processes give ten thousand
    answers a second. One thread may use it.

    Args:
        counts: the counter.
        durations: the histogram, of seconds; its label is the first one of the counter.
        buckets: the upper bounds of the histogram's buckets, ascending; the endless one is added.
    """

    def __init__(self, counts: MetricDescription, durations: MetricDescription, buckets: Sequence[float]) -> None:
        self._counts_family = counts
        self._durations_family = durations
        self._bounds = (*buckets, float("inf"))
        self._counts: Counter[tuple[object, ...]] = Counter()
        self._durations: dict[object, list[int]] = {}
        """By the first label: how many fell into each bucket."""
        self._seconds: dict[object, float] = {}

    def observe(self, labels: tuple[object, ...], seconds: float | None) -> None:
        """Count an answer.

        Args:
            labels: the values of the counter's labels.
            seconds: how long it took; None is not told.
        """
        self._counts[labels] += 1
        if seconds is None:
            return
        first = labels[0]
        buckets = self._durations.get(first)
        if buckets is None:
            buckets = self._durations[first] = [0] * len(self._bounds)
            self._seconds[first] = 0.0
        buckets[bisect_left(self._bounds, seconds)] += 1
        self._seconds[first] += seconds

    def collect(self) -> Iterator[Metric]:
        """The families."""
        name, told, labels = self._counts_family
        counter = CounterMetricFamily(name, told, labels=labels)
        for values, number in self._counts.items():
            counter.add_metric([str(value) for value in values], number)
        yield counter
        name, told, labels = self._durations_family
        histogram = HistogramMetricFamily(name, told, labels=labels)
        bounds = list(map(floatToGoString, self._bounds))
        for value, buckets in self._durations.items():
            reached = list(zip(bounds, accumulate(buckets), strict=True))
            histogram.add_metric([str(value)], reached, self._seconds[value])
        yield histogram
