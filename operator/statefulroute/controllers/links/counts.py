"""How many links each pod carries, and how many are handed over to it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from statefulroute.controllers.slots.counts import SlotCounts
from statefulroute.domain.keys import LinkKey, PodKey, RouteKey, is_slot_link_name
from statefulroute.domain.link import Link
from statefulroute.domain.route import Route


class LinkCounts:
    """The number of links by route and pod, updated with every change of a link, so that a read is a lookup.

    Attributes:
        slots: the number of slots by route and pod.
    """

    def __init__(self) -> None:
        self.slots = SlotCounts()
        self._listeners: list[Callable[[RouteKey, PodKey], None]] = []
        self._counts: defaultdict[RouteKey, Counter[PodKey]] = defaultdict(Counter)
        self._viewed_routes: set[RouteKey] = set()
        """The routes whose live view was returned. The counts of other routes, which only links name, are dropped
        when they are empty, because links may name any number of routes."""
        self._arriving: defaultdict[RouteKey, Counter[PodKey]] = defaultdict(Counter)
        """The number of links that are handed over to each pod."""
        self._assumed: dict[LinkKey, PodKey] = {}

    def __len__(self) -> int:
        """Returns the number of routes whose counts are stored."""
        return len(self._counts)

    def of(self, route: RouteKey) -> Mapping[PodKey, int]:
        """Returns the counts of a route's pods, as a live view. Pods without a link may be absent."""
        self._viewed_routes.add(route)
        return self._counts[route]

    def arriving(self, route: RouteKey) -> Mapping[PodKey, int]:
        """Returns how many links are handed over to each of a route's pods, which they do not name yet, live."""
        self._viewed_routes.add(route)
        return self._arriving[route]

    def route_changed(self, old: Route | None, new: Route | None) -> None:
        """Drops the counts of a deleted route when it has no links. It is a listener of the cache of routes."""
        if new is None and old is not None:
            self._viewed_routes.discard(old.key)
            self._drop_empty(old.key)
        self.slots.route_changed(old, new)

    def listen(self, listener: Callable[[RouteKey, PodKey], None]) -> None:
        """Calls a function when a pod of a route has one link more or one less."""
        self._listeners.append(listener)

    def link_changed(self, old: Link | None, new: Link | None) -> None:
        """Counts the change of a link. It is a listener of the cache of links."""
        self.slots.link_changed(old, new)
        old_pod, new_pod = old.assigned_pod if old else None, new.assigned_pod if new else None
        link = new or old
        if link is None:
            return
        if (old and old.hand_over) or (new and new.hand_over):
            self._count_arrivals(link.route, old, new)
        if old_pod == new_pod:
            return
        if new_pod is not None:
            self._add(link.route, new_pod)
        if old_pod is not None:
            self._subtract(link.route, old_pod)
        if self._assumed and self._assumed.get(link.key) == new_pod:
            self._forget_assumed(link.key)

    @contextmanager
    def assume(self, key: LinkKey, pod: PodKey) -> Iterator[None]:
        """Counts a link that is about to be bound, so that the next choice sees it before the API server answers.

        The watch may deliver the binding before the answer arrives. The link itself counts from then on, and the
        assumption does not. Of two bindings of a link at once, only the later one counts.
        """
        self._add(key.route, pod)
        if is_slot_link_name(key.name):
            self.slots.add(key.route, pod)
        self._forget_assumed(key)
        self._assumed[key] = pod
        try:
            yield
        finally:
            if self._assumed.get(key) == pod:
                self._forget_assumed(key)

    def assumed(self, route: RouteKey) -> Mapping[PodKey, int]:
        """Returns how many of the links of a route's pods are about to be bound, and so name no pod, or another one."""
        return Counter(pod for key, pod in self._assumed.items() if key.route == route)

    def _forget_assumed(self, key: LinkKey) -> None:
        pod = self._assumed.pop(key, None)
        if pod is not None:
            self._subtract(key.route, pod)
            if is_slot_link_name(key.name):
                self.slots.subtract(key.route, pod)

    def _count_arrivals(self, route: RouteKey, old: Link | None, new: Link | None) -> None:
        old_pod, new_pod = (each.hand_over.pod if each and each.hand_over else None for each in (old, new))
        if old_pod == new_pod:
            return
        arriving = self._arriving[route]
        if new_pod is not None:
            arriving[new_pod] += 1
            self._notify(route, new_pod)
        if old_pod is not None:
            arriving[old_pod] -= 1
            if not arriving[old_pod]:
                del arriving[old_pod]
                self._drop_empty(route)
            self._notify(route, old_pod)

    def _add(self, route: RouteKey, pod: PodKey) -> None:
        self._counts[route][pod] += 1
        self._notify(route, pod)

    def _subtract(self, route: RouteKey, pod: PodKey) -> None:
        counts = self._counts[route]
        counts[pod] -= 1
        if not counts[pod]:
            del counts[pod]
            self._drop_empty(route)
        self._notify(route, pod)

    def _notify(self, route: RouteKey, pod: PodKey) -> None:
        for listener in self._listeners:
            listener(route, pod)

    def _drop_empty(self, route: RouteKey) -> None:
        if route in self._viewed_routes:
            return
        for counts in (self._counts, self._arriving):
            if route in counts and not counts[route]:
                del counts[route]
