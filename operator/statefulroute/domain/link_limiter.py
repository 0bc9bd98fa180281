"""Limits the links that gateways and drivers create for new users."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from statefulroute.domain.errors import LinkLimitReachedError
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.route import Route


class LinkLimiter:
    """Refuses a new link of a route that has as many links as its `spec.links.max`.

    It is exact for one process: the links that it creates at the same time count. Other processes may each exceed the
    limit by the links that they create before they observe those of the others.

    Args:
        route_of: returns a route, or None if it is not known.
        count: returns the number of links of a route.
    """

    def __init__(self, route_of: Callable[[RouteKey], Route | None], count: Callable[[Route], int]) -> None:
        self._route_of = route_of
        self._count = count
        self._creating: Counter[RouteKey] = Counter()

    def check(self, key: RouteKey) -> None:
        """Raises `LinkLimitReachedError` if a route must not have another link."""
        route = self._route_of(key)
        if route is None or not (limit := route.spec.links.max):
            return
        if self._count(route) + self._creating[key] >= limit:
            raise LinkLimitReachedError(
                f"StatefulRoute {key.name!r} takes no new users: it has as many links as its spec.links.max allows "
                f"({limit})"
            )

    @contextmanager
    def creating(self, key: RouteKey) -> Iterator[None]:
        """Counts a link while it is created. Raises as `check` does."""
        self.check(key)
        self._creating[key] += 1
        try:
            yield
        finally:
            self._creating[key] -= 1
            if not self._creating[key]:
                del self._creating[key]
