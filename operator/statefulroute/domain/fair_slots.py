"""How a limited number of slots is shared by namespaces and routes."""

import math
from collections.abc import Callable, Hashable
from typing import TypeVar

from statefulroute.domain.fair_queue import FairQueue
from statefulroute.domain.keys import RouteKey

K = TypeVar("K", bound=Hashable)

#: Takes the slot that a route has waited for; returns False if it is not needed any more.
TakeSlot = Callable[[], bool]


class FairSlots:
    """Slots for work in progress, for which routes wait in a fair queue.

    A namespace takes a slot only while it uses less than `namespace_share` times the number of free slots, as the
    dynamic thresholds of switches with shared memory (Choudhury and Hahne, 1998). So a single namespace uses
    `namespace_share / (1 + namespace_share)` of all slots, and n namespaces leave `1 / (1 + n * namespace_share)` of
    them free: one whose work hangs never has all of them. The first slot of a namespace needs only a free slot, and the
    last quarter of the slots is for first ones: namespaces that hang one after the other had more than n would have.

    With a `route_share`, the routes of a namespace share in the same way what their namespace may take.

    Args:
        total: the number of slots.
        namespace_share: how many slots a namespace may use for each free slot.
        route_share: how many slots a route may use for each slot that its namespace may still take; None is unlimited.
    """

    def __init__(self, total: int, *, namespace_share: float = 1.0, route_share: float | None = None) -> None:
        self._total = total
        self._namespace_share = namespace_share
        self._route_share = route_share
        self._for_first = total // 4 if math.isfinite(namespace_share) else 0
        """How many slots only namespaces without one may take."""
        self._used = 0
        # A Counter costs a call of a method of its own for each new key, and for each that is deleted.
        self._namespaces: dict[str, int] = {}
        self._routes: dict[RouteKey, int] = {}
        self._queue: FairQueue[TakeSlot] = FairQueue()

    @property
    def used(self) -> int:
        """The number of slots in use."""
        return self._used

    @property
    def free(self) -> int:
        """The number of slots that are not in use."""
        return self._total - self._used

    @property
    def waiting(self) -> int:
        """The number of requests that wait."""
        return len(self._queue)

    def may_take(self, route: RouteKey) -> bool:
        """Returns whether a route may have a slot now."""
        return self.namespace_may_take(route.namespace) and self._route_may_take(route)

    def namespace_may_take(self, namespace: str) -> bool:
        """Returns whether a namespace may have a slot now."""
        free, used = self.free, self._namespaces.get(namespace, 0)
        return free > 0 and (not used or (free > self._for_first and used < self._namespace_share * free))

    def take(self, route: RouteKey) -> bool:
        """Takes a slot if the route may have one now. Those that wait may have none now, so it overtakes none."""
        if not self.may_take(route):
            return False
        self._used += 1
        self._namespaces[route.namespace] = self._namespaces.get(route.namespace, 0) + 1
        self._routes[route] = self._routes.get(route, 0) + 1
        return True

    def wait(self, route: RouteKey, take_slot: TakeSlot) -> None:
        """Calls a function when the route has a slot, after `take` has returned False."""
        self._queue.add(route, take_slot)

    def cancel(self, route: RouteKey, take_slot: TakeSlot) -> bool:
        """Ends a wait; returns False if the function was called already."""
        return self._queue.discard(route, take_slot)

    def release(self, route: RouteKey) -> None:
        """Gives a slot back, and passes free slots on to those that wait."""
        self._give_back(route)
        # With no free slot, every namespace that waits would be asked whether it may take one.
        while (
            self._queue
            and self.free
            and (served := self._queue.pop(self.namespace_may_take, self._route_may_take)) is not None
        ):
            next_route, take_slot = served
            self.take(next_route)
            if not take_slot():
                self._give_back(next_route)

    def _give_back(self, route: RouteKey) -> None:
        self._used -= 1
        _subtract_one(self._routes, route)
        _subtract_one(self._namespaces, route.namespace)

    def _route_may_take(self, route: RouteKey) -> bool:
        used = self._routes.get(route, 0)
        if not used or self._route_share is None:
            return True
        of_namespace, share = self._namespaces[route.namespace], self._namespace_share
        # The namespace stops at `most`, where this is `share` times the slots that are free then.
        most = share * (self._total - self._used + of_namespace) / (1 + share)
        return used < self._route_share * (most - of_namespace)


def _subtract_one(counts: dict[K, int], key: K) -> None:
    """Subtracts one, and removes a count of zero."""
    count = counts[key] - 1
    if count:
        counts[key] = count
    else:
        del counts[key]
