"""Collects the metrics of a process, and renders them in the text format of Prometheus."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, GCCollector, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Exposition:
    """The metrics of a process: those of the given collectors, and the standard ones of the process and its memory.

    Args:
        collectors: the collectors; each metric family belongs to one of them.
    """

    def __init__(self, collectors: Iterable[Collector]) -> None:
        # The `_created` series of each counter double the number of series and are not used.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        unused = CollectorRegistry()
        self._collectors = (*collectors, ProcessCollector(registry=unused), GCCollector(registry=unused))

    async def collect(self) -> AsyncIterator[Metric]:
        """Yields one family at a time and runs other tasks in between, because there may be thousands of pods."""
        for collector in self._collectors:
            for family in collector.collect():
                yield family
                await asyncio.sleep(0)

    async def render(self) -> AsyncIterator[bytes]:
        """Yields the text of one family at a time."""
        async for family in self.collect():
            yield generate_latest(_SingleFamilyCollector(family))


class _SingleFamilyCollector:
    """A collector of one family."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)
