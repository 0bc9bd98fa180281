"""Tells whoever listens of every move in a service, as the watch tells it."""

from collections.abc import Iterator
from contextlib import contextmanager

from statefulroute.cluster.cache import Cache
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link
from statefulroute.driver.events import Subscription, link_changes
from statefulroute.resolver.problems import ProblemError, ProblemKind


class MoveBroadcaster:
    """The moves of all routes, for those who listen to one of them.

    Args:
        links: the links.
        max_subscriptions: how many may listen at the same time.
    """

    def __init__(self, links: Cache[Link], max_subscriptions: int = 256) -> None:
        self._max_subscriptions = max_subscriptions
        self._subscriptions: dict[RouteKey, list[Subscription]] = {}
        self._has_ended = False
        links.listen(self._link_changed)

    def __len__(self) -> int:
        """How many listen."""
        return sum(map(len, self._subscriptions.values()))

    @contextmanager
    def subscribe(self, route: RouteKey) -> Iterator[Subscription]:
        """Every move in a route from now on, while the context lasts.

        Raises:
            ProblemError: too many listen already.
        """
        if len(self) >= self._max_subscriptions:
            raise ProblemError(
                ProblemKind.TOO_MANY_STREAMS, f"{self._max_subscriptions} listen already: ask another resolver", 5
            )
        subscription = Subscription()
        if self._has_ended:
            subscription.end()
        listeners = self._subscriptions.setdefault(route, [])
        listeners.append(subscription)
        try:
            yield subscription
        finally:
            listeners.remove(subscription)
            if not listeners and self._subscriptions.get(route) is listeners:
                del self._subscriptions[route]

    def end(self) -> None:
        """End what everybody listens to."""
        self._has_ended = True
        for listeners in self._subscriptions.values():
            for subscription in listeners:
                subscription.end()

    def _link_changed(self, old: Link | None, new: Link | None) -> None:
        link = new or old
        listeners = self._subscriptions.get(link.route) if link is not None else None
        if listeners:
            for event in link_changes(old, new):
                for subscription in listeners:
                    subscription.put(event)
