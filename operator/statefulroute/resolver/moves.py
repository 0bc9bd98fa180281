"""Tells whoever listens of every move in a service, as the watch tells it."""

from collections.abc import Iterator
from contextlib import contextmanager

from statefulroute.cluster.cache import Cache
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link
from statefulroute.driver.events import Subscription, of_link
from statefulroute.resolver.problems import ProblemError, ProblemKind


class Moves:
    """The moves of all routes, for those who listen to one of them.

    Args:
        links: the links.
        max_listeners: how many may listen at the same time.
    """

    def __init__(self, links: Cache[Link], max_listeners: int = 256) -> None:
        self._max_listeners = max_listeners
        self._listeners: dict[RouteKey, list[Subscription]] = {}
        self._has_ended = False
        links.listen(self._link_changed)

    def __len__(self) -> int:
        """How many listen."""
        return sum(map(len, self._listeners.values()))

    @contextmanager
    def listening(self, route: RouteKey) -> Iterator[Subscription]:
        """Every move in a route from now on, while the context lasts.

        Raises:
            ProblemError: too many listen already.
        """
        if len(self) >= self._max_listeners:
            raise ProblemError(
                ProblemKind.TOO_MANY_STREAMS, f"{self._max_listeners} listen already: ask another resolver", 5
            )
        subscription = Subscription()
        if self._has_ended:
            subscription.end()
        listeners = self._listeners.setdefault(route, [])
        listeners.append(subscription)
        try:
            yield subscription
        finally:
            listeners.remove(subscription)
            if not listeners and self._listeners.get(route) is listeners:
                del self._listeners[route]

    def end(self) -> None:
        """End what everybody listens to."""
        self._has_ended = True
        for listeners in self._listeners.values():
            for subscription in listeners:
                subscription.end()

    def _link_changed(self, old: Link | None, new: Link | None) -> None:
        link = new or old
        listeners = self._listeners.get(link.group) if link is not None else None
        if listeners:
            for event in of_link(old, new):
                for subscription in listeners:
                    subscription.put(event)
