"""How many slots each pod of a route has, and how many slots are bound."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.route import Route


class SlotCounts:
    """The number of slots by route and pod, updated with every change of a slot's link, so that a read is a lookup.

    A slot that is handed over counts for the pod that takes it.
    """

    def __init__(self) -> None:
        self._counts: defaultdict[RouteKey, Counter[PodKey]] = defaultdict(Counter)
        self._bound: Counter[RouteKey] = Counter()
        self._viewed_routes: set[RouteKey] = set()
        """The routes whose live view was returned. Those of other routes, which only links name, are dropped."""
        self._listeners: list[Callable[[RouteKey], None]] = []

    def listen(self, listener: Callable[[RouteKey], None]) -> None:
        """Calls a function when more or fewer slots of a route are bound."""
        self._listeners.append(listener)

    def of(self, route: RouteKey) -> Mapping[PodKey, int]:
        """Returns the counts of a route's pods, as a live view. Pods without a slot may be absent."""
        self._viewed_routes.add(route)
        return self._counts[route]

    def bound(self, route: RouteKey) -> int:
        """Returns how many slots of a route are bound to a pod, by the status of their links."""
        return self._bound[route]

    def route_changed(self, old: Route | None, new: Route | None) -> None:
        """Drops the counts of a deleted route when it has no slots. It is a listener of the cache of routes."""
        if new is None and old is not None and old.key in self._viewed_routes:
            self._viewed_routes.discard(old.key)
            self._drop_empty(old.key)

    def link_changed(self, old: Link | None, new: Link | None) -> None:
        """Counts the change of a link of a slot."""
        link = new or old
        if link is None or not link.is_of_slot:
            return
        if (change := _is_bound(new) - _is_bound(old)) != 0:
            self._bound[link.route] += change
            if not self._bound[link.route]:
                del self._bound[link.route]
            for listener in self._listeners:
                listener(link.route)
        old_pod, new_pod = _pod_of(old), _pod_of(new)
        if old_pod != new_pod:
            if new_pod is not None:
                self.add(link.route, new_pod)
            if old_pod is not None:
                self.subtract(link.route, old_pod)

    def add(self, route: RouteKey, pod: PodKey) -> None:
        """Counts one slot more of a pod: one that it has, or that it is about to get."""
        self._counts[route][pod] += 1

    def subtract(self, route: RouteKey, pod: PodKey) -> None:
        """Counts one slot less of a pod."""
        counts = self._counts[route]
        counts[pod] -= 1
        if not counts[pod]:
            del counts[pod]
            self._drop_empty(route)

    def _drop_empty(self, route: RouteKey) -> None:
        if route not in self._viewed_routes and route in self._counts and not self._counts[route]:
            del self._counts[route]


def _pod_of(link: Link | None) -> PodKey | None:
    """Returns the pod that a link counts for: the one that the slot is handed over to, or else its own."""
    if link is None or link.assigned_pod is None:
        return None
    return link.assigned_pod if link.hand_over is None else link.hand_over.pod


def _is_bound(link: Link | None) -> bool:
    return link is not None and link.status is not None and link.status.is_ready and link.violation is None
