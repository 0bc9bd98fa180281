"""One kind in one cache, whether it is followed in the whole cluster or in some namespaces only."""

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from statefulroute.cluster.cache import Cache, Cached
from statefulroute.cluster.client import Client
from statefulroute.cluster.reflector import Reflector
from statefulroute.cluster.resource_type import ResourceType

T = TypeVar("T", bound=Cached)

#: How long a feed waits at the most before it asks an API server again that does not answer: after an outage of any
#: length, links are to be bound within ten seconds and look-ups to be true again soon.
_MAX_BACKOFF_SECONDS = 5.0


class Informer(Generic[T]):
    """The reflectors of one kind: one for the whole cluster, or one for each namespace that is named.

    Args:
        client: how to reach the API server.
        resource: the kind.
        namespaces: where it is followed; none is the whole cluster.

    Attributes:
        cache: what the API server held a moment ago.
        reflectors: what keeps it up to date.
    """

    def __init__(self, client: Client, resource: ResourceType[T], namespaces: Sequence[str] = ()) -> None:
        self.cache: Cache[T] = Cache()
        places = [resource.in_namespace(namespace) for namespace in namespaces] or [resource]
        self.reflectors = tuple(Reflector(client, place, _MAX_BACKOFF_SECONDS, self.cache) for place in places)

    def reflector_of(self, partition: Hashable) -> Reflector[T] | None:
        """What keeps the objects of a group up to date; None where they are not followed."""
        return next((reflector for reflector in self.reflectors if reflector.covers(partition)), None)

    def observe(self, item: T) -> None:
        """Take in the API server's answer to a write of our own, ahead of the watch."""
        if (reflector := self.reflector_of(item.partition)) is not None:
            reflector.observe(item)


async def wait_synced(reflectors: Iterable[Reflector[Any]]) -> None:
    """Wait until everything that is followed was listed."""
    for reflector in reflectors:
        await reflector.synced.wait()


@asynccontextmanager
async def run_reflectors(reflectors: Iterable[Reflector[Any]]) -> AsyncIterator[None]:
    """Follow the API server while the context lasts."""
    tasks = [asyncio.create_task(reflector.run()) for reflector in reflectors]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
