"""Caches links of a namespace, or of some of its services, for a client driver."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Self

from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import LINKS
from statefulroute.cluster.field_logger import get_logger
from statefulroute.cluster.reflector import Reflector
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link
from statefulroute.driver.bounded_cache import BoundedCache, Extent, LinkLimit
from statefulroute.driver.routes import BACKOFF_SECONDS

log = get_logger(__name__)

#: About 100 MB of memory.
MAX_LINKS = 250_000

#: All links are cached again when their number has fallen to this part of the limit.
_FILL_BELOW = 0.9


class LinkCache:
    """Caches links by watches; an async context manager.

    If there are more links than `max_links`, the cache holds those that were asked for last: any other link must be
    read from the API server, and replaces the one whose use is the longest ago. When there are fewer links again, the
    cache reads all of them.

    Args:
        client: the client of the API server.
        namespace: the namespace of the links.
        services: the services whose links are cached; None caches all links of the namespace.
        max_links: the maximal number of cached links.
    """

    def __init__(
        self, client: Client, namespace: str, services: Iterable[str] | None = None, max_links: int = MAX_LINKS
    ) -> None:
        self._max_links = max_links
        self._limit = LinkLimit(max_links, self._overflow, self._fill_if_possible)
        self._watches: dict[str | None, _Watch] = {}
        """The watch of each service; that of None watches all services."""
        for service in [None] if services is None else services:
            selector = "" if service is None else f"spec.routeName={service}"
            cache = BoundedCache(self._limit)
            self._watches[service] = _Watch(
                Reflector(client, LINKS.in_namespace(namespace, selector), BACKOFF_SECONDS, cache), cache
            )
        self._of_all = self._watches.get(None)
        self._is_complete = True
        self._is_open = False
        self._listeners: list[Callable[[bool], None]] = []
        self._filling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._is_open = True
        for watch in self._watches.values():
            watch.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_open = False
        tasks = [watch.task for watch in self._watches.values() if watch.task is not None]
        tasks += [self._filling] if self._filling is not None else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def size(self) -> int:
        """The number of cached links."""
        return sum(len(watch.cache) for watch in self._watches.values())

    @property
    def is_complete(self) -> bool:
        """Whether the cache holds all links."""
        return self._is_complete

    @property
    def reflectors(self) -> list[Reflector[Link]]:
        """The reflectors of the cache."""
        return [watch.reflector for watch in self._watches.values()]

    def has_synced(self, route: str) -> bool:
        """Whether the cache has all links of a service: then a link that it does not have does not exist."""
        watch = self._watch_of(route)
        return watch is not None and self._limit.extent is Extent.ALL and watch.reflector.synced.is_set()

    def count(self, route: RouteKey) -> int | None:
        """Returns the number of links of a service, or None if the cache does not have all of them."""
        watch = self._watch_of(route.name)
        return len(watch.cache.in_partition(route)) if watch is not None and self.has_synced(route.name) else None

    def get(self, route: RouteKey, name: str) -> Link | None:
        """Returns a cached link, or None."""
        watch = self._watch_of(route.name)
        return watch.cache.get(route, name) if watch is not None else None

    @contextmanager
    def requesting(self, route: str, name: str) -> Iterator[Callable[[Link], None]]:
        """Observes a link while it is read or written, and yields a function that takes the response."""
        watch = self._watch_of(route)
        if watch is None:
            yield lambda _: None
            return
        self._fill_if_possible()
        lists = watch.reflector.lists
        with watch.cache.requesting(name) as requests:

            def keep(link: Link) -> None:
                # A list passes changes without events.
                is_current = watch.reflector.lists == lists and self._limit.extent is Extent.ASKED
                if is_current and requests.newest_version <= link.resource_version:
                    watch.cache.admit(link)

            yield keep

    def observe(self, item: Link) -> None:
        """Stores the result of the driver's own write."""
        if (watch := self._watch_of(item.route.name)) is not None:
            with watch.cache.admitting():
                watch.reflector.observe(item)

    def forget(self, item: Link) -> None:
        """Removes a link that the driver itself has deleted."""
        if (watch := self._watch_of(item.route.name)) is not None:
            watch.reflector.forget(item)

    def listen(self, listener: Callable[[Link | None, Link | None], None]) -> None:
        """Calls a function at every change of a cached link, with the versions before and after."""
        for watch in self._watches.values():
            watch.cache.listen(listener)

    def on_completeness(self, listener: Callable[[bool], None]) -> None:
        """Calls a function when the cache stops or starts to hold all links, with whether it does."""
        self._listeners.append(listener)

    def _watch_of(self, service: str) -> "_Watch | None":
        return self._of_all if self._of_all is not None else self._watches.get(service)

    def _overflow(self) -> None:
        if self._is_complete:
            log.warning("there are too many links: those that were used last are cached", max_links=self._max_links)
            self._set_complete(complete=False)

    def _set_complete(self, *, complete: bool) -> None:
        self._is_complete = complete
        for listener in self._listeners:
            listener(complete)

    def _fill_if_possible(self) -> None:
        """Starts to read all links again if there are few enough."""
        watches = self._watches.values()
        if not self._is_open or self._limit.extent is not Extent.ASKED or self._filling is not None:
            return
        if not all(watch.reflector.synced.is_set() for watch in watches):
            return
        if sum(watch.reflector.count for watch in watches) <= _FILL_BELOW * self._max_links:
            self._filling = asyncio.create_task(self._fill())

    async def _fill(self) -> None:
        watches = self._watches.values()
        for watch in watches:
            await watch.stop()
        self._limit.start_filling()
        for watch in watches:
            watch.reflector.require_list()
            watch.start()
        for watch in watches:
            await watch.reflector.synced.wait()
        self._limit.end_filling()
        self._filling = None
        if self._limit.extent is Extent.ALL:
            log.info("all links are cached again", max_links=self._max_links)
            self._set_complete(complete=True)


class _Watch:
    """The watch of the links of one service, or of all.

    Attributes:
        reflector: updates the cache.
        cache: the links.
        task: runs the reflector.
    """

    def __init__(self, reflector: Reflector[Link], cache: BoundedCache) -> None:
        self.reflector = reflector
        self.cache = cache
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.task = asyncio.create_task(self.reflector.run())

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
