"""Metrics of the caches and their watches."""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from statefulroute.cluster.reflector import Reflector


def resource_of(reflector: Reflector[Any]) -> str:
    """Returns the plural name of the resource that a reflector watches."""
    return reflector.path.rpartition("/")[2]


class CacheMetrics:
    """Exposes metrics of the caches, aggregated by kind over all namespaces.

    Args:
        reflectors: the reflectors of the caches.
        clock: returns monotonic seconds.
    """

    def __init__(self, reflectors: Iterable[Reflector[Any]], clock: Callable[[], float] = time.monotonic) -> None:
        by_resource = groupby(sorted(reflectors, key=resource_of), resource_of)
        self._reflectors = {resource: tuple(members) for resource, members in by_resource}
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics."""
        age, objects, synced = (
            GaugeMetricFamily(f"statefulroute_cache_{name}", documentation, labels=("resource",))
            for name, documentation in _GAUGES
        )
        restarts = CounterMetricFamily(
            "statefulroute_watch_restarts",
            "Watches and lists that failed and were restarted; a watch that ended at its timeout does not count.",
            labels=("resource",),
        )
        now = self._clock()
        for resource, reflectors in self._reflectors.items():
            labels = (resource,)
            caches = {id(reflector.cache): reflector.cache for reflector in reflectors}
            age.add_metric(labels, now - min(reflector.last_update_at for reflector in reflectors))
            objects.add_metric(labels, sum(map(len, caches.values())))
            synced.add_metric(labels, all(reflector.synced.is_set() for reflector in reflectors))
            restarts.add_metric(labels, sum(reflector.restarts for reflector in reflectors))
        yield from (age, objects, synced, restarts)


_GAUGES = (
    (
        "age_seconds",
        "Time since the last event, list or bookmark; without changes, a bookmark arrives about once a minute.",
    ),
    ("objects", "Objects in the cache."),
    ("synced", "1 once the first list is complete."),
)
