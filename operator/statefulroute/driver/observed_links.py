"""Passes the links that a server driver reads and writes on to its users, ahead of their watch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link
from statefulroute.driver.link_cache import LinkCache
from statefulroute.driver.pod_users import PodUsers


class ObservedLinks:
    """The cached links for the store of a driver that follows its users.

    Args:
        users: takes the links.
        cache: the cached links of the service, which also takes them; None if there are none, so that all are read.
    """

    def __init__(self, users: PodUsers, cache: LinkCache | None = None) -> None:
        self._users = users
        self._cache = cache

    def has_synced(self, route: str) -> bool:
        """Returns whether every link of a route is cached."""
        return self._cache is not None and self._cache.has_synced(route)

    def get(self, route: RouteKey, name: str) -> Link | None:
        """Returns a cached link, or None."""
        return None if self._cache is None else self._cache.get(route, name)

    @contextmanager
    def requesting(self, route: str, name: str) -> Iterator[Callable[[Link], None]]:
        """Returns a context for a request that reads or writes a link; its value takes the response."""
        if self._cache is None:
            yield lambda _: None
        else:
            with self._cache.requesting(route, name) as keep:
                yield keep

    def observe(self, item: Link) -> None:
        """Stores a link that was read or written."""
        if self._cache is not None:
            self._cache.observe(item)
        self._users.observe(item)

    def forget(self, item: Link) -> None:
        """Removes a link that was deleted from the cache. The users learn it from their watch."""
        if self._cache is not None:
            self._cache.forget(item)
