"""A local copy of the objects of one kind, by group and name."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar


class Cached(Protocol):
    """What can be cached: one version of an object.

    Attributes:
        partition: what it is looked up by, together with its name; never changes while the object lives.
        name: its name, unique within the group.
        resource_version: tells an older version from a newer one.
    """

    @property
    def partition(self) -> Hashable: ...  # noqa: D102 - see the class
    @property
    def name(self) -> str: ...  # noqa: D102 - see the class
    @property
    def resource_version(self) -> int: ...  # noqa: D102 - see the class


T = TypeVar("T", bound=Cached)

#: Called with the version before (None: new) and the version after (None: deleted).
Listener = Callable[[T | None, T | None], None]

_EMPTY: Mapping[str, Any] = MappingProxyType({})


class Cache(Generic[T]):
    """Objects in two levels, group and name; one version of each, and never an older one after a newer one."""

    def __init__(self) -> None:
        self._partitions: dict[Hashable, dict[str, T]] = {}
        self._listeners: list[Listener[T]] = []

    def listen(self, listener: Listener[T]) -> None:
        """Have a function called at every change, in the order of the changes. It must not raise."""
        self._listeners.append(listener)

    def get(self, partition: Hashable, name: str) -> T | None:
        """The object, or None."""
        return self._partitions.get(partition, _EMPTY).get(name)

    def in_partition(self, partition: Hashable) -> Mapping[str, T]:
        """The objects of a group by name: a live view, to be copied where an await follows."""
        return self._partitions.get(partition, _EMPTY)

    def __iter__(self) -> Iterator[tuple[Hashable, str]]:
        """Group and name of every object."""
        return ((group, name) for group, members in self._partitions.items() for name in members)

    def __len__(self) -> int:
        return sum(map(len, self._partitions.values()))

    def put(self, item: T) -> None:
        """Take in a version of an object, unless it is known already or a newer one is."""
        members = self._partitions.get(item.partition)
        if members is None:
            members = self._partitions[item.partition] = {}
        old = members.get(item.name)
        if old is not None and old.resource_version >= item.resource_version:
            return
        members[item.name] = item
        for listener in self._listeners:
            listener(old, item)

    def delete(self, partition: Hashable, name: str, resource_version: int) -> None:
        """Forget an object that was deleted at this resource version, unless a later one has taken its name."""
        members = self._partitions.get(partition)
        old = members.get(name) if members else None
        if members is None or old is None or old.resource_version > resource_version:
            return
        del members[name]
        if not members:
            del self._partitions[partition]
        for listener in self._listeners:
            listener(old, None)
