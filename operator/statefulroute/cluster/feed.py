"""One kind in one cache, whether it is followed in the whole cluster or in some namespaces only."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from statefulroute.cluster.cache import Cache, Cached
from statefulroute.cluster.client import Client
from statefulroute.cluster.reflector import Reflector
from statefulroute.cluster.resource import Resource

T = TypeVar("T", bound=Cached)


class Feed(Generic[T]):
    """The reflectors of one kind: one for the whole cluster, or one for each namespace that is named.

    Args:
        client: how to reach the API server.
        resource: the kind.
        namespaces: where it is followed; none is the whole cluster.

    Attributes:
        cache: what the API server held a moment ago.
        reflectors: what keeps it up to date.
    """

    def __init__(self, client: Client, resource: Resource[T], namespaces: Sequence[str] = ()) -> None:
        self.cache: Cache[T] = Cache()
        places = [resource.within(namespace) for namespace in namespaces] or [resource]
        self.reflectors = tuple(Reflector(client, place, cache=self.cache) for place in places)

    def observe(self, item: T) -> None:
        """Take in the API server's answer to a write of our own, ahead of the watch."""
        for reflector in self.reflectors:
            if reflector.covers(item.group):
                reflector.observe(item)
