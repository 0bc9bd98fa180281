"""How old the caches are, and whether their watches hold."""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from statefulroute.cluster.reflector import Reflector


def resource_of(reflector: Reflector[Any]) -> str:
    """The plural of the kind that it follows."""
    return reflector.path.rpartition("/")[2]


class CacheMetrics:
    """Tells of the caches; those of one kind are told of together, however many watches fill them.

    Args:
        reflectors: what fills the caches.
        clock: monotonic seconds.
    """

    def __init__(self, reflectors: Iterable[Reflector[Any]], clock: Callable[[], float] = time.monotonic) -> None:
        by_kind = groupby(sorted(reflectors, key=resource_of), resource_of)
        self._reflectors = {resource: tuple(each) for resource, each in by_kind}
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """The families."""
        age, objects, synced = (
            GaugeMetricFamily(f"statefulroute_cache_{name}", told, labels=("resource",)) for name, told in _GAUGES
        )
        restarts = CounterMetricFamily(
            "statefulroute_watch_restarts",
            "Watches and lists that broke off or failed, and were begun anew; one that ended in its time does not "
            "count.",
            labels=("resource",),
        )
        now = self._clock()
        for resource, reflectors in self._reflectors.items():
            labels = (resource,)
            age.add_metric(labels, now - min(each.last_update_at for each in reflectors))
            objects.add_metric(labels, sum(map(len, {id(each.cache): each.cache for each in reflectors}.values())))
            synced.add_metric(labels, all(each.synced.is_set() for each in reflectors))
            restarts.add_metric(labels, sum(each.restarts for each in reflectors))
        yield from (age, objects, synced, restarts)


_GAUGES = (
    (
        "age_seconds",
        "Since the last event, list or bookmark; while nothing happens, there is a bookmark about once a minute.",
    ),
    ("objects", "Objects in the cache."),
    ("synced", "1 once the first list is complete."),
)
