"""Measures the heap that an operator, a resolver or a driver needs for links, in a separate process.

    python -m measuring.heap operator|resolver|driver KUBECONFIG

It prints two numbers: the links, and the bytes that Python's allocators have handed out since before the links arrived.
"""

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from measuring.bench_service import NAMESPACE
from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import utc_now
from statefulroute.cluster.connection import connect
from statefulroute.cluster.informers import Informers
from statefulroute.controllers.links.counts import LinkCounts
from statefulroute.controllers.links.expiry import ExpiryController
from statefulroute.controllers.monitoring.links import LinkMetrics
from statefulroute.controllers.state_store import RouteStore
from statefulroute.driver.first_sync import wait_first_sync
from statefulroute.driver.link_cache import LinkCache
from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.resolver.assembly import assemble
from statefulroute.resolver.settings import Settings

#: How long the first list may take.
_SYNC_SECONDS = 300.0

#: Returns the number of links in memory.
LinkCount = Callable[[], int]


@asynccontextmanager
async def operator_state(client: Client) -> AsyncIterator[LinkCount]:
    """Holds what an operator knows: the informers and all listeners of its links."""
    informers = Informers(client)
    counts, metrics = LinkCounts(), LinkMetrics(lambda: True)
    informers.links.cache.listen(counts.link_changed)
    informers.links.cache.listen(metrics.link_changed)
    informers.routes.cache.listen(metrics.route_changed)
    routes = RouteStore(informers, counts.of, counts.arriving, utc_now)
    counts.listen(routes.observe_links)
    expiry = ExpiryController(informers.links.cache, lambda _: None, utc_now)
    async with informers.run():
        await informers.wait_synced()
        yield lambda: len(informers.links.cache)
    del expiry  # keeps it alive until here


@asynccontextmanager
async def resolver_state(client: Client) -> AsyncIterator[LinkCount]:
    """Holds what a resolver knows."""
    components = assemble(Settings(http_address=BindAddress("127.0.0.1", 0)), client)
    async with components.cache.run():
        await components.cache.wait_synced()
        yield lambda: len(components.cache.links.cache)


@asynccontextmanager
async def driver_state(client: Client) -> AsyncIterator[LinkCount]:
    """Holds what a client driver knows that follows all links of its namespace."""
    number_of_links = 0

    def count(old: object, new: object) -> None:
        nonlocal number_of_links
        number_of_links += (new is not None) - (old is not None)

    cache = LinkCache(client, NAMESPACE)
    cache.listen(count)
    async with cache:
        await wait_first_sync(cache.reflectors, _SYNC_SECONDS)
        yield lambda: number_of_links


KINDS: dict[str, Callable[[Client], AbstractAsyncContextManager[LinkCount]]] = {
    "operator": operator_state,
    "resolver": resolver_state,
    "driver": driver_state,
}


async def measure_heap(kind: str, client: Client) -> tuple[int, int]:
    """Returns the number of links and the heap bytes."""
    gc.collect()
    tracemalloc.start()
    try:
        async with KINDS[kind](client) as count:
            gc.collect()
            return count(), tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


async def measure(kind: str, kubeconfig: Path) -> tuple[int, int]:
    """Returns the same for the objects of a cluster."""
    async with connect(kubeconfig) as connection, Client(connection) as client:
        return await measure_heap(kind, client)


if __name__ == "__main__":
    sys.stdout.write("{} {}\n".format(*asyncio.run(measure(sys.argv[1], Path(sys.argv[2])))))
