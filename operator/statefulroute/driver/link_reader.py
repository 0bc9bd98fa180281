"""Finds the link of a user for a client driver: in the cache, or by a request."""

from collections.abc import Callable

from statefulroute.api.limits import ENCODED_UID_PREFIX
from statefulroute.cluster.clock import IntervalClock
from statefulroute.cluster.link_store import LinkStore
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.operations import active_link
from statefulroute.driver.link_cache import LinkCache
from statefulroute.driver.operations import Operations


class LinkReader:
    """Finds links.

    Args:
        namespace: the namespace of the links.
        cache: the cached links.
        store: reads links from the API server.
        clock: the time of day by both clocks.
        operations: runs the reads.
    """

    def __init__(
        self, namespace: str, cache: LinkCache, store: LinkStore, clock: IntervalClock, operations: Operations
    ) -> None:
        self._namespace = namespace
        self._cache = cache
        self._store = store
        self._clock = clock
        self._operations = operations
        self._keys: dict[str, RouteKey] = {}

    def find(self, uid: str, service: str) -> Link | None:
        """Returns the cached link; None if there is no active one, or if a parameter is invalid."""
        try:
            if uid.startswith(ENCODED_UID_PREFIX):  # the name of another uid's link
                return None
            key = self._keys.get(service)
        except (AttributeError, TypeError):  # not a string
            return None
        if key is None:
            key = RouteKey(self._namespace, service)
        link = self._cache.get(key, f"{service}.{uid}")
        if link is None:
            return None
        self._keys[service] = key  # only services with links: a caller may pass any name
        if link.expire_time is None:
            return link if link.assigned_pod is not None else None
        return active_link(link, self._clock().earliest)

    def has_all(self, service: str) -> bool:
        """Returns whether the cache has all links of a service, so that no request is necessary."""
        return self._cache.has_synced(service)

    async def read(self, uid: str, service: str, *, fresh: bool) -> Link | None:
        """Returns a link that `find` has not found, or a fresh one. Raises as `ClientDriver.get_linked_pod` does."""
        if not fresh and self.has_all(service):
            return await self._store.get(service, uid)
        with self._operations.run("get_linked_pod", uid=uid, service=service) as outcome:
            link = await self._store.get(service, uid, fresh=fresh)
            outcome.add(pod=link.pod if link else None)
            return link


class CountingLinkReader:
    """Counts the look-ups that the cache answers, also those of users without a link.

    Args:
        reader: finds the links.
        count: counts a look-up.
    """

    def __init__(self, reader: LinkReader, count: Callable[[], None]) -> None:
        self._reader = reader
        self._count = count

    def find(self, uid: str, service: str) -> Link | None:
        """Returns the cached link, as `LinkReader` does."""
        link = self._reader.find(uid, service)
        if link is not None:
            self._count()
        return link

    async def read(self, uid: str, service: str, *, fresh: bool) -> Link | None:
        """Returns a link that `find` has not found, or a fresh one, as `LinkReader` does."""
        is_cached = not fresh and self._reader.has_all(service)
        link = await self._reader.read(uid, service, fresh=fresh)
        if is_cached:
            self._count()
        return link
