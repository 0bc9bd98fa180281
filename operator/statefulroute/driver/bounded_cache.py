"""A cache of links that holds at most a number of them: above it, those that were asked for last."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from enum import Enum, auto

from statefulroute.cluster.cache import Cache
from statefulroute.domain.link import Link


class Extent(Enum):
    """Which links a cache holds."""

    ALL = auto()
    ASKED = auto()
    """Those that were asked for last."""
    FILLING = auto()
    """Some: it reads all again."""


class LinkLimit:
    """The limit of several caches together, and which links they hold.

    Args:
        max_links: how many links they may hold.
        on_overflow: called when they stop to hold all links.
        on_deletion: called at each deletion of a link, also of one that they do not hold.

    Attributes:
        extent: which links they hold.
        free: how many more links they may hold.
        recent: the cache and the partition of each link by its name, in the order of their use; None unless the extent
            is ASKED.
    """

    def __init__(
        self, max_links: int, on_overflow: Callable[[], None], on_deletion: Callable[[], None] = lambda: None
    ) -> None:
        self.extent = Extent.ALL
        self.free = max_links
        self.recent: OrderedDict[str, tuple[BoundedCache, Hashable]] | None = None
        self.caches: list[BoundedCache] = []
        self.on_deletion = on_deletion
        self._on_overflow = on_overflow

    def has_room_for_all(self) -> bool:
        """Returns whether the caches may hold a further link that was not asked for."""
        if self.recent is not None:
            return False
        if self.free > 0:
            return True
        self.extent = Extent.ASKED
        self.recent = OrderedDict((name, (cache, partition)) for cache in self.caches for partition, name in cache)
        self._on_overflow()
        return False

    def make_room(self) -> bool:
        """Removes the link whose use is the longest ago, if there is no room; returns whether there is room then."""
        if self.free <= 0 and self.recent:
            name, (cache, partition) = self.recent.popitem(last=False)
            cache.drop(partition, name)
        return self.free > 0

    def start_filling(self) -> None:
        """Lets the caches hold all links from now on."""
        self.extent, self.recent = Extent.FILLING, None

    def end_filling(self) -> None:
        """Ends the filling, unless there are too many links again."""
        if self.extent is Extent.FILLING:
            self.extent = Extent.ALL


class _Requests:
    """The requests in progress about a link.

    Attributes:
        number: the number of requests.
        newest_version: the newest version of the link that has arrived meanwhile.
    """

    def __init__(self) -> None:
        self.number = 0
        self.newest_version = 0.0


class BoundedCache(Cache[Link]):
    """Holds the links of one watch, in one namespace.

    Args:
        limit: how many links this cache and others may hold together.
    """

    def __init__(self, limit: LinkLimit) -> None:
        super().__init__()
        self._limit = limit
        self._is_admitting = False
        self._requests: dict[str, _Requests] = {}
        limit.caches.append(self)

    def get(self, partition: Hashable, name: str) -> Link | None:
        """Returns a link, or None."""
        link = super().get(partition, name)
        if link is not None and (recent := self._limit.recent) is not None:
            recent.move_to_end(name)
        return link

    def put(self, item: Link) -> None:
        """Stores a version of a link, unless the cache holds this version or a newer one, or does not hold the link."""
        old = super().get(item.partition, item.name)
        self._observe_version(item.name, item.resource_version)
        if old is None:
            if self._limit.has_room_for_all():
                self._store(None, item)
            elif self._is_admitting or item.name in self._requests:
                self.admit(item)
        elif old.resource_version < item.resource_version:
            self._store(old, item)

    def put_listed(self, item: Link, list_version: float) -> bool:
        """Stores a version from a list, as `Cache.put_listed` does; returns whether the cache holds the link."""
        old = super().get(item.partition, item.name)
        if old is None and not self._limit.has_room_for_all():
            return False
        if old is None or (old.resource_version <= list_version and old != item):
            self._store(old, item)
        return True

    def delete(self, partition: Hashable, name: str, resource_version: float) -> None:
        """Removes a link that was deleted, as `Cache.delete` does."""
        self._observe_version(name, resource_version)
        if (old := super().get(partition, name)) is not None and old.resource_version <= resource_version:
            self._limit.free += 1
            if self._limit.recent is not None:
                del self._limit.recent[name]
        super().delete(partition, name, resource_version)
        self._limit.on_deletion()

    def admit(self, item: Link) -> None:
        """Stores a link that was asked for, instead of the one whose use is the longest ago."""
        recent = self._limit.recent
        if recent is None or super().get(item.partition, item.name) is not None:
            self.put(item)
        elif self._limit.make_room():
            self._store(None, item)
            recent[item.name] = (self, item.partition)

    def drop(self, partition: Hashable, name: str) -> None:
        """Removes a link that exists, to make room for another one."""
        members = self._partitions[partition]
        del members[name]
        if not members:
            del self._partitions[partition]
        self._limit.free += 1

    @contextmanager
    def admitting(self) -> Iterator[None]:
        """Admits links that are put in the context."""
        self._is_admitting = True
        try:
            yield
        finally:
            self._is_admitting = False

    @contextmanager
    def requesting(self, name: str) -> Iterator[_Requests]:
        """Observes the events about a link while it is read or written, and stores the versions that they bring.

        An event may arrive before the response to the write that caused it.
        """
        requests = self._requests.setdefault(name, _Requests())
        requests.number += 1
        try:
            yield requests
        finally:
            requests.number -= 1
            if not requests.number:
                del self._requests[name]

    def _store(self, old: Link | None, item: Link) -> None:
        if old is not None or self._limit.extent is Extent.ALL:
            self._limit.free -= old is None
            super()._store(old, item)
            return
        # Listeners hear of changes only, and the cache does not know whether this link is new.
        self._limit.free -= 1
        self._partitions.setdefault(item.partition, {})[item.name] = item

    def _observe_version(self, name: str, version: float) -> None:
        if (requests := self._requests.get(name)) is not None:
            requests.newest_version = max(requests.newest_version, version)
