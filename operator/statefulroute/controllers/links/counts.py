"""How many links each pod carries."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from statefulroute.domain.keys import LinkKey, PodKey, RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.route import Route


class LinkCounts:
    """The number of links by route and pod, kept with every change of a link; reads cost nothing."""

    def __init__(self) -> None:
        self._first_listeners: list[Callable[[RouteKey, PodKey], None]] = []
        self._counts: defaultdict[RouteKey, Counter[PodKey]] = defaultdict(Counter)
        self._viewed_routes: set[RouteKey] = set()
        """Whose live view somebody may hold. Routes that are only named by links leave nothing: anybody names some."""
        self._assumed: dict[LinkKey, PodKey] = {}

    def __len__(self) -> int:
        """Of how many routes something is kept."""
        return len(self._counts)

    def of(self, route: RouteKey) -> Mapping[PodKey, int]:
        """The counts of a route's pods: a live view. Pods without a link may be absent."""
        self._viewed_routes.add(route)
        return self._counts[route]

    def route_changed(self, old: Route | None, new: Route | None) -> None:
        """Forget a route that is gone, once it has no links; a listener of the cache of routes."""
        if new is None and old is not None:
            self._viewed_routes.discard(old.key)
            self._drop_empty(old.key)

    def listen_for_first_link(self, listener: Callable[[RouteKey, PodKey], None]) -> None:
        """Have a function called when a pod of a route has got its first link."""
        self._first_listeners.append(listener)

    def link_changed(self, old: Link | None, new: Link | None) -> None:
        """Count a link's change; a listener of the cache of links."""
        before, after = old.assigned_pod if old else None, new.assigned_pod if new else None
        if before == after:
            return
        link = new or old
        if link is None:
            return
        counts = self._counts[link.route]
        if after is not None:
            counts[after] += 1
        if before is not None:
            self._subtract(link.route, before)
        if self._assumed and self._assumed.get(link.key) == after:
            self._forget_assumed(link.key)
        if after is not None and counts[after] == 1:
            for listener in self._first_listeners:
                listener(link.route, after)

    @contextmanager
    def assume(self, key: LinkKey, pod: PodKey) -> Iterator[None]:
        """Count a link that is about to be bound, so that the next choice sees it before the API server answers.

        The watch may tell of the binding before the answer comes: then the link itself counts, and it does so once.
        """
        self._counts[key.route][pod] += 1
        self._assumed[key] = pod
        try:
            yield
        finally:
            self._forget_assumed(key)

    def _forget_assumed(self, key: LinkKey) -> None:
        pod = self._assumed.pop(key, None)
        if pod is not None:
            self._subtract(key.route, pod)

    def _subtract(self, route: RouteKey, pod: PodKey) -> None:
        counts = self._counts[route]
        counts[pod] -= 1
        if not counts[pod]:
            del counts[pod]
            self._drop_empty(route)

    def _drop_empty(self, route: RouteKey) -> None:
        if route not in self._viewed_routes and route in self._counts and not self._counts[route]:
            del self._counts[route]
