"""A queue of several tenants that is served in turn: namespace by namespace, and in each of them route by route."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from itertools import chain
from typing import Generic, TypeVar

from statefulroute.domain.keys import RouteKey

K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=Hashable)


class Rounds(Generic[K]):
    """The order of keys that are served in rounds, each key once in a round.

    A key that arrives and was not served in this round comes first, as a sparse flow in FQ-CoDel (RFC 8290): a tenant
    that seldom waits does not wait for a round of all others. The others are served in the order of the last round.
    """

    __slots__ = ("_arrived", "_current", "_next", "_served")

    def __init__(self) -> None:
        self._arrived: OrderedDict[K, None] = OrderedDict()
        self._current: OrderedDict[K, None] = OrderedDict()
        self._next: OrderedDict[K, None] = OrderedDict()
        self._served: set[K] = set()
        """The keys that were served in this round, also those that do not wait any more."""

    def __iter__(self) -> Iterator[K]:
        """Yields the keys in the order in which they are to be served."""
        return chain(self._arrived, self._current, self._next)

    def __bool__(self) -> bool:
        return bool(self._arrived or self._current or self._next)

    def add(self, key: K) -> None:
        """Adds a key that does not wait yet."""
        (self._next if key in self._served else self._arrived).setdefault(key)

    def serve(self, key: K, *, waits_again: bool) -> None:
        """Ends the turn of a key, which has another one in the next round if it waits again."""
        self._served.add(key)
        self.discard(key)
        if waits_again:
            self._next[key] = None
        self._end_round()

    def discard(self, key: K) -> None:
        """Removes a key that does not wait any more."""
        for keys in (self._arrived, self._current, self._next):
            keys.pop(key, None)
        self._end_round()

    def _end_round(self) -> None:
        if not self._arrived and not self._current:
            self._current, self._next = self._next, self._current
            self._served.clear()


def _always(_: object) -> bool:
    return True


class FairQueue(Generic[T]):
    """Items that wait, each for a route: namespaces take turns, then the routes of a namespace, then their items.

    However many items one route or namespace has, an item of another one waits for one item of each at most. Nothing is
    stored for a route or a namespace without items, except for the names of those served in the present round.
    """

    def __init__(self) -> None:
        self._namespaces: Rounds[str] = Rounds()
        self._routes: dict[str, Rounds[RouteKey]] = {}
        self._items: dict[RouteKey, OrderedDict[T, None]] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, route: RouteKey, item: T, *, first: bool = False) -> None:
        """Adds an item unless it waits already: as the last one of its route, or as the first."""
        items = self._items.get(route)
        if items is None:
            items = self._items[route] = OrderedDict()
            self._add_route(route)
        if item not in items:
            items[item] = None
            self._length += 1
        if first:
            items.move_to_end(item, last=False)

    def pop(
        self,
        namespace_may: Callable[[str], bool] = _always,
        route_may: Callable[[RouteKey], bool] = _always,
    ) -> tuple[RouteKey, T] | None:
        """Removes the next item.

        Args:
            namespace_may: returns whether a namespace may be served now; otherwise it keeps its place.
            route_may: returns whether a route may be served now; otherwise it keeps its place.

        Returns:
            The item with its route; None if nothing waits, or nothing that waits may be served.
        """
        route = self.next_route(namespace_may, route_may)
        if route is None:
            return None
        items = self._items[route]
        item, _ = items.popitem(last=False)
        self._length -= 1
        routes = self._routes[route.namespace]
        if not items:
            del self._items[route]
        routes.serve(route, waits_again=bool(items))
        self._namespaces.serve(route.namespace, waits_again=bool(routes))
        if not routes:
            del self._routes[route.namespace]
        return route, item

    def next_route(
        self,
        namespace_may: Callable[[str], bool] = _always,
        route_may: Callable[[RouteKey], bool] = _always,
    ) -> RouteKey | None:
        """Returns the route whose item `pop` would return; None if it would return None."""
        for namespace in self._namespaces:
            if namespace_may(namespace):
                for route in self._routes[namespace]:
                    if route_may(route):
                        return route
        return None

    def discard(self, route: RouteKey, item: T) -> bool:
        """Removes an item; returns whether it waited."""
        items = self._items.get(route)
        if items is None or item not in items:
            return False
        del items[item]
        self._length -= 1
        if not items:
            del self._items[route]
            routes = self._routes[route.namespace]
            routes.discard(route)
            if not routes:
                del self._routes[route.namespace]
                self._namespaces.discard(route.namespace)
        return True

    def _add_route(self, route: RouteKey) -> None:
        routes = self._routes.get(route.namespace)
        if routes is None:
            routes = self._routes[route.namespace] = Rounds()
            self._namespaces.add(route.namespace)
        routes.add(route)
