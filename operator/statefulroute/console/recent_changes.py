"""The latest changes of all routes, numbered, so that each browser receives those that it has not seen."""

from collections import OrderedDict, deque
from datetime import datetime
from itertools import takewhile

import msgspec

from statefulroute.cli.link_changes import LinkChange
from statefulroute.domain.keys import RouteKey

#: The number of changes that a browser may be behind.
_BACKLOG = 2_000

#: The number of changes that are kept for a route, and of routes for which they are kept: the latest ones.
_OF_A_ROUTE, _ROUTES = 60, 1_000

#: The number of seconds over which rates are counted.
RATE_SECONDS = 60

_BOUND, _NOWHERE = "Bound", "-"


class NumberedChange(msgspec.Struct, frozen=True, gc=False):
    """A change with its number and its time.

    Attributes:
        number: counts the changes from 1.
        time: when it was observed.
        kind: `bound`, `moved`, `ended`, `phase` or `state`.
        change: the change.
    """

    number: int
    time: datetime
    kind: str
    change: LinkChange


class RecentChanges:
    """The latest changes of all routes; memory is bounded."""

    def __init__(self) -> None:
        self.last_number = 0
        self._all: deque[NumberedChange] = deque(maxlen=_BACKLOG)
        self._of_routes: OrderedDict[RouteKey, deque[NumberedChange]] = OrderedDict()
        self._totals: dict[RouteKey, dict[str, int]] = {}
        self._buckets: dict[RouteKey, dict[int, dict[str, int]]] = {}

    def add(self, change: LinkChange, time: datetime) -> None:
        """Add a change that was observed at a time."""
        self.last_number += 1
        numbered = NumberedChange(self.last_number, time, kind_of(change), change)
        key = RouteKey(change.namespace, change.route)
        self._all.append(numbered)
        latest = self._of_routes.setdefault(key, deque(maxlen=_OF_A_ROUTE))
        self._of_routes.move_to_end(key)
        latest.append(numbered)
        if len(self._of_routes) > _ROUTES:
            self._of_routes.popitem(last=False)
        for counts in (
            self._totals.setdefault(key, {}),
            self._buckets.setdefault(key, {}).setdefault(int(time.timestamp()), {}),
        ):
            counts[numbered.kind] = counts.get(numbered.kind, 0) + 1

    def since(self, number: int, key: RouteKey | None = None) -> list[NumberedChange]:
        """Returns the changes after a number, the oldest first; the oldest ones may be forgotten.

        Args:
            number: the number of the last change that the caller has.
            key: only those of this route.
        """
        later = takewhile(lambda each: each.number > number, reversed(self._all))
        selected = [each for each in later if key is None or (each.change.namespace, each.change.route) == key]
        return selected[::-1]

    def of_route(self, key: RouteKey) -> list[NumberedChange]:
        """Returns the latest changes of a route, the latest first."""
        return [*reversed(self._of_routes.get(key, ()))]

    def total(self, kind: str, key: RouteKey) -> int:
        """Returns the number of changes of a kind in a route so far."""
        return self._totals.get(key, {}).get(kind, 0)

    def forget(self, key: RouteKey) -> None:
        """Forget how many changes there were in a route that does not exist any more."""
        self._totals.pop(key, None)

    def rates(self, now: datetime, key: RouteKey | None = None) -> dict[str, int]:
        """Returns how many links were bound, moved and ended in the last minute, in all routes or in one."""
        oldest = int(now.timestamp()) - RATE_SECONDS
        totals = {"bound": 0, "moved": 0, "ended": 0}
        for route in [*self._buckets] if key is None else [key]:
            seconds = self._buckets.get(route, {})
            for second in [each for each in seconds if each <= oldest]:
                del seconds[second]
            if not seconds:
                self._buckets.pop(route, None)
            for counts in seconds.values():
                for kind in totals:
                    totals[kind] += counts.get(kind, 0)
        return totals


def kind_of(change: LinkChange) -> str:
    """Returns what a change is: a link that was `bound`, `moved` or `ended`, a `phase`, or a routing `state`."""
    if change.reason == "RoutingState":
        return "state"
    if change.before == change.after:
        return "phase"
    if change.after == _NOWHERE:
        return "ended"
    return "bound" if change.before == _NOWHERE else "moved"
