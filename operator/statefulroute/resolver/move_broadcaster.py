"""Sends every move of a route to the route's subscriptions."""

from collections.abc import Iterator
from contextlib import contextmanager

from statefulroute.cluster.cache import Cache
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link
from statefulroute.driver.events import Subscription, link_changes
from statefulroute.resolver.problems import ProblemError, ProblemKind


class MoveBroadcaster:
    """Sends the moves of each route to its subscriptions.

    Args:
        links: the cache of links.
        max_subscriptions: the maximal number of subscriptions.
    """

    def __init__(self, links: Cache[Link], max_subscriptions: int = 256) -> None:
        self._max_subscriptions = max_subscriptions
        self._subscriptions: dict[RouteKey, list[Subscription]] = {}
        self._has_ended = False
        links.listen(self._link_changed)

    def __len__(self) -> int:
        """The number of subscriptions."""
        return sum(map(len, self._subscriptions.values()))

    @contextmanager
    def subscribe(self, route: RouteKey) -> Iterator[Subscription]:
        """Subscribes to the moves of a route while the context lasts.

        Raises:
            ProblemError: there are too many subscriptions.
        """
        if len(self) >= self._max_subscriptions:
            raise ProblemError(
                ProblemKind.TOO_MANY_STREAMS,
                f"there are {self._max_subscriptions} streams already: use another resolver",
                5,
            )
        subscription = Subscription()
        if self._has_ended:
            subscription.end()
        subscriptions = self._subscriptions.setdefault(route, [])
        subscriptions.append(subscription)
        try:
            yield subscription
        finally:
            subscriptions.remove(subscription)
            if not subscriptions and self._subscriptions.get(route) is subscriptions:
                del self._subscriptions[route]

    def end(self) -> None:
        """Ends all subscriptions; a later subscription ends at once."""
        self._has_ended = True
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.end()

    def _link_changed(self, old: Link | None, new: Link | None) -> None:
        link = new or old
        subscriptions = self._subscriptions.get(link.route) if link is not None else None
        if subscriptions:
            for event in link_changes(old, new):
                for subscription in subscriptions:
                    subscription.put(event)
