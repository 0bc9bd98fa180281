"""All metrics as Prometheus reads them."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, GCCollector, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Exposition:
    """Metrics that can be scraped: those that are given, and those of the process and its memory.

    Args:
        collectors: what is exposed, each family by one of them.
    """

    def __init__(self, collectors: Iterable[Collector]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a time beside each counter, which nobody asks for
        nowhere = CollectorRegistry()
        self._collectors = (*collectors, ProcessCollector(registry=nowhere), GCCollector(registry=nowhere))

    async def render(self) -> AsyncIterator[bytes]:
        """The families, one by one: others have their turn between them, for there may be thousands of pods."""
        for collector in self._collectors:
            for family in collector.collect():
                yield generate_latest(_SingleFamilyCollector(family))
                await asyncio.sleep(0)


class _SingleFamilyCollector:
    """One family as a collector."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)
