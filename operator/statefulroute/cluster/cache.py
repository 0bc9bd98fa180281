"""A local copy of the objects of one kind, indexed by partition and name."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar


class Cached(Protocol):
    """One version of an object that can be cached.

    Attributes:
        partition: the first part of the object's key, for example its namespace; it never changes.
        name: the name, unique within the partition.
        resource_version: the resource version; a newer version of the object has a higher number.
    """

    @property
    def partition(self) -> Hashable: ...  # noqa: D102 - see the class
    @property
    def name(self) -> str: ...  # noqa: D102 - see the class
    @property
    def resource_version(self) -> int: ...  # noqa: D102 - see the class


T = TypeVar("T", bound=Cached)

#: Called with the version before (None if the object is new) and the version after (None if it was deleted).
Listener = Callable[[T | None, T | None], None]

_EMPTY: Mapping[str, Any] = MappingProxyType({})


class Cache(Generic[T]):
    """Holds one version of each object by partition and name.

    Only a list replaces a version with an older one: after etcd was restored from a backup, the versions of the lost
    time are void.
    """

    def __init__(self) -> None:
        self._partitions: dict[Hashable, dict[str, T]] = {}
        self._listeners: list[Listener[T]] = []

    def listen(self, listener: Listener[T]) -> None:
        """Adds a listener, which the cache calls on every change, in order. It must not raise."""
        self._listeners.append(listener)

    def get(self, partition: Hashable, name: str) -> T | None:
        """Returns an object, or None."""
        return self._partitions.get(partition, _EMPTY).get(name)

    def in_partition(self, partition: Hashable) -> Mapping[str, T]:
        """Returns the objects of a partition by name: a live view, so copy it before an await."""
        return self._partitions.get(partition, _EMPTY)

    def __iter__(self) -> Iterator[tuple[Hashable, str]]:
        """Iterates over the keys of all objects: partition and name."""
        return ((partition, name) for partition, members in self._partitions.items() for name in members)

    def __len__(self) -> int:
        return sum(map(len, self._partitions.values()))

    def put(self, item: T) -> None:
        """Stores a version of an object, unless the cache holds this version or a newer one."""
        old = self.get(item.partition, item.name)
        if old is None or old.resource_version < item.resource_version:
            self._store(old, item)

    def put_listed(self, item: T, list_version: float) -> bool:
        """Stores a version of an object from a list, unless the cache holds this version, or one newer than the list.

        Returns whether the cache holds the object.

        Args:
            item: the version of the object.
            list_version: the resource version of the list; infinite if every version in the cache is void.
        """
        old = self.get(item.partition, item.name)
        if old is None or (old.resource_version <= list_version and old != item):
            self._store(old, item)
        return True

    def _store(self, old: T | None, item: T) -> None:
        self._partitions.setdefault(item.partition, {})[item.name] = item
        for listener in self._listeners:
            listener(old, item)

    def delete(self, partition: Hashable, name: str, resource_version: float) -> None:
        """Removes an object that was deleted at this resource version, unless the cache holds a newer object."""
        members = self._partitions.get(partition)
        old = members.get(name) if members else None
        if members is None or old is None or old.resource_version > resource_version:
            return
        del members[name]
        if not members:
            del self._partitions[partition]
        for listener in self._listeners:
            listener(old, None)
