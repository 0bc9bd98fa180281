"""Sends every move of a route to the route's subscriptions."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from statefulroute.cluster.cache import Cache
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link
from statefulroute.driver.events import Change, Subscription, link_changes
from statefulroute.rest.problems import ProblemError, ProblemKind


class MoveBroadcaster:
    """Sends the moves of each route to its subscriptions.

    Args:
        links: the cache of links.
        max_subscriptions: the maximal number of subscriptions.
        max_of_one_client: the maximal number of subscriptions of one client, so that it cannot take those of others.
    """

    def __init__(self, links: Cache[Link], max_subscriptions: int = 256, max_of_one_client: int = 64) -> None:
        self._max_subscriptions = max_subscriptions
        self._max_of_one_client = max_of_one_client
        self._clients: Counter[str] = Counter()
        """The number of subscriptions of each client that has one."""
        self._subscriptions: dict[RouteKey, list[Subscription[Change]]] = {}
        self._has_ended = False
        links.listen(self._link_changed)

    def __len__(self) -> int:
        """The number of subscriptions."""
        return sum(map(len, self._subscriptions.values()))

    @contextmanager
    def subscribe(self, route: RouteKey, client: str = "") -> Iterator[Subscription[Change]]:
        """Subscribes to the moves of a route while the context lasts.

        Args:
            route: the route.
            client: the name of the client.

        Raises:
            ProblemError: there are too many subscriptions, or too many of this client.
        """
        if self._clients[client] >= self._max_of_one_client:
            raise ProblemError(
                ProblemKind.TOO_MANY_STREAMS,
                f"{client} has {self._max_of_one_client} streams already: share one for each route, or use another "
                "resolver",
                5,
            )
        if len(self) >= self._max_subscriptions:
            raise ProblemError(
                ProblemKind.TOO_MANY_STREAMS,
                f"there are {self._max_subscriptions} streams already: use another resolver",
                5,
            )
        subscription: Subscription[Change] = Subscription()
        if self._has_ended:
            subscription.end()
        subscriptions = self._subscriptions.setdefault(route, [])
        subscriptions.append(subscription)
        self._clients[client] += 1
        try:
            yield subscription
        finally:
            self._clients -= Counter({client: 1})  # drops a client without subscriptions
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
