"""How many links of routes name no pod and wait for one."""

from collections.abc import Callable

from statefulroute.cluster.cache import Cache
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link


class UnplacedLinks:
    """The number of links that wait for a pod, of the routes for which it was requested.

    A change of a link of another route costs one lookup.

    Args:
        links: the cache of links; it is listened to.
        notify: called with a route whose number has changed.
    """

    def __init__(self, links: Cache[Link], notify: Callable[[RouteKey], object]) -> None:
        self._links = links
        self._notify = notify
        self._numbers: dict[RouteKey, int] = {}
        links.listen(self._link_changed)

    def of(self, route: RouteKey) -> int:
        """Returns the number of a route; follows its links from now on."""
        number = self._numbers.get(route)
        if number is None:
            number = self._numbers[route] = sum(map(_waits, self._links.in_partition(route).values()))
        return number

    def forget(self, route: RouteKey) -> None:
        """Does not follow the links of a route any more."""
        self._numbers.pop(route, None)

    def clear(self) -> None:
        """Does not follow the links of any route any more."""
        self._numbers.clear()

    def _link_changed(self, old: Link | None, new: Link | None) -> None:
        link = new or old
        if link is None or link.route not in self._numbers:
            return
        if change := _waits(new) - _waits(old):
            self._numbers[link.route] += change
            self._notify(link.route)


def _waits(link: Link | None) -> bool:
    """Returns whether a link waits for a pod. One that is rejected never gets one."""
    if link is None or link.pod is not None or link.is_deleting:
        return False
    return link.foreign_namespace is None and link.violation is None
