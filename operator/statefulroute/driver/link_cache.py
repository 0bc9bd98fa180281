"""Caches links of a namespace, or of some of its services, for a client driver."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Self

from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import LINKS
from statefulroute.cluster.field_logger import get_logger
from statefulroute.cluster.reflector import Reflector
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link
from statefulroute.driver.routes import BACKOFF_SECONDS

log = get_logger(__name__)

#: About 100 MB of memory.
MAX_LINKS = 250_000


class LinkCache:
    """Caches links by watches; an async context manager.

    If there are more links than `max_links`, the cache disables itself and drops all links: each link must then be
    read from the API server.

    Args:
        client: the client of the API server.
        namespace: the namespace of the links.
        services: the services whose links are cached; None caches all links of the namespace.
        max_links: the maximal number of links.
    """

    def __init__(
        self, client: Client, namespace: str, services: Iterable[str] | None = None, max_links: int = MAX_LINKS
    ) -> None:
        self._max_links = max_links
        self._all = None if services is not None else Reflector(client, LINKS.in_namespace(namespace), BACKOFF_SECONDS)
        self._by_service = {
            service: Reflector(client, LINKS.in_namespace(namespace, f"spec.routeName={service}"), BACKOFF_SECONDS)
            for service in services or ()
        }
        self._tasks: list[asyncio.Task[None]] = []
        self._size = 0
        self._disabled = asyncio.Event()
        self._disabled_listeners: list[Callable[[], None]] = []
        for reflector in self._reflectors:
            reflector.cache.listen(self._count)

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(reflector.run()) for reflector in self._reflectors]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def is_disabled(self) -> bool:
        """Whether there were more links than `max_links`."""
        return self._disabled.is_set()

    @property
    def _reflectors(self) -> list[Reflector[Link]]:
        return [self._all] if self._all is not None else list(self._by_service.values())

    async def wait_synced(self) -> None:
        """Waits until all links are read for the first time, or the cache is disabled."""
        disabled = asyncio.create_task(self._disabled.wait())
        synced = [asyncio.create_task(reflector.synced.wait()) for reflector in self._reflectors]
        try:
            for task in synced:
                await asyncio.wait({task, disabled}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (disabled, *synced):
                task.cancel()

    def has_synced(self, route: str) -> bool:
        """Whether the cache has all links of a service: then a link that it does not have does not exist."""
        reflector = self._reflector_of(route)
        return reflector is not None and reflector.synced.is_set()

    def get(self, route: RouteKey, name: str) -> Link | None:
        """Returns a cached link, or None."""
        reflector = self._reflector_of(route.name)
        return reflector.get(route, name) if reflector is not None else None

    def observe(self, item: Link) -> None:
        """Stores the result of the driver's own write."""
        if (reflector := self._reflector_of(item.route.name)) is not None:
            reflector.observe(item)

    def forget(self, item: Link) -> None:
        """Removes a link that the driver itself has deleted."""
        if (reflector := self._reflector_of(item.route.name)) is not None:
            reflector.forget(item)

    def listen(self, listener: Callable[[Link | None, Link | None], None]) -> None:
        """Calls a function at every change of a link, with the versions before and after."""
        for reflector in self._reflectors:
            reflector.cache.listen(listener)

    def on_disabled(self, listener: Callable[[], None]) -> None:
        """Calls a function when the cache disables itself; it then reports no more changes."""
        self._disabled_listeners.append(listener)

    def _reflector_of(self, service: str) -> Reflector[Link] | None:
        return self._all if self._all is not None else self._by_service.get(service)

    def _count(self, old: Link | None, new: Link | None) -> None:
        self._size += (new is not None) - (old is not None)
        if self._size > self._max_links and not self.is_disabled:
            self._disabled.set()
            log.warning("there are too many links: the cache is disabled", max_links=self._max_links)
            for task in self._tasks:
                task.cancel()
            self._all, self._by_service = None, {}
            for listener in self._disabled_listeners:
                listener()
