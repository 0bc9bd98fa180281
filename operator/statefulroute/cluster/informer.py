"""Watches one kind, in the whole cluster or in selected namespaces, and keeps its objects in one cache."""

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from statefulroute.cluster.cache import Cache, Cached
from statefulroute.cluster.client import Client
from statefulroute.cluster.reflector import Reflector
from statefulroute.cluster.resource_type import ResourceType

T = TypeVar("T", bound=Cached)

#: The maximum delay before a retry. It is short, so that links are bound within ten seconds after an outage of any
#: length, and lookups are up to date again soon.
_MAX_BACKOFF_SECONDS = 5.0


class Informer(Generic[T]):
    """The reflectors and the cache of one kind: one reflector for the whole cluster, or one per namespace.

    Args:
        client: the client for the API server.
        resource: the kind to watch.
        namespaces: the namespaces to watch; none means the whole cluster.

    Attributes:
        cache: the objects.
        reflectors: the reflectors that update the cache.
    """

    def __init__(self, client: Client, resource: ResourceType[T], namespaces: Sequence[str] = ()) -> None:
        self.cache: Cache[T] = Cache()
        scopes = [resource.in_namespace(namespace) for namespace in namespaces] or [resource]
        self.reflectors = tuple(Reflector(client, scope, _MAX_BACKOFF_SECONDS, self.cache) for scope in scopes)

    def reflector_of(self, partition: Hashable) -> Reflector[T] | None:
        """Returns the reflector that watches a partition, or None."""
        return next((reflector for reflector in self.reflectors if reflector.covers(partition)), None)

    async def wait_replaced(self) -> None:
        """Waits until an older list has replaced objects of the cache, because etcd was restored from a backup."""
        waiting = [asyncio.create_task(reflector.replaced.wait()) for reflector in self.reflectors]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    def clear_replaced(self) -> None:
        """Starts to wait for the next replacement."""
        for reflector in self.reflectors:
            reflector.replaced.clear()

    def observe(self, item: T) -> None:
        """Stores the result of a write of this process, ahead of the watch."""
        if (reflector := self.reflector_of(item.partition)) is not None:
            reflector.observe(item)

    async def read(self, partition: Hashable, name: str) -> T | None:
        """Reads an object from the API server into the cache, ahead of the watch.

        Returns:
            The object; None if it does not exist, or is not watched.

        Raises:
            ClusterError: the request failed.
            ValueError: the object is malformed.
        """
        reflector = self.reflector_of(partition)
        return None if reflector is None else await reflector.read(partition, name)


async def wait_synced(reflectors: Iterable[Reflector[Any]]) -> None:
    """Waits until the first list of every reflector is complete."""
    for reflector in reflectors:
        await reflector.synced.wait()


@asynccontextmanager
async def run_reflectors(reflectors: Iterable[Reflector[Any]]) -> AsyncIterator[None]:
    """Runs reflectors while the context is open."""
    tasks = [asyncio.create_task(reflector.run()) for reflector in reflectors]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
