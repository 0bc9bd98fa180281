"""A queue whose keys get turns: shared fairly by routes, at a limited rate, and few of them at the same time."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from statefulroute.domain.fair_queue import FairQueue
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.rate_limiter import RateLimiter

K = TypeVar("K", bound=Hashable)

#: One turn, and half a turn more, so that a timer that fires late does not lower the rate.
_BURST = 1.5

#: How many keys in flight a namespace may have for each free place: alone, it has two thirds of all places.
_NAMESPACE_SHARE = 2.0

#: How many keys of a route may be called at the same time without having asked again, and after how many seconds such a
#: call is forgotten: the key may be gone.
_MAX_CALLED, _CALL_SECONDS = 64, 30.0


class TurnQueue(Generic[K]):
    """Gives each key a turn: namespaces take turns, then the routes of a namespace, then their keys in order.

    A key asks for its turn. If the turn is not now, the key waits until the queue calls it, and then asks again. A key
    that does not need its turn any more gives it back, so that the next key has it. A route whose keys do not ask again
    after their calls delays no other route.

    Args:
        per_second: the number of turns in a second.
        max_in_flight: the largest number of keys that use their turn at the same time.
        clock: returns monotonic seconds.
        route_of: returns the route of a key.
    """

    def __init__(
        self, per_second: float, max_in_flight: int, clock: Callable[[], float], route_of: Callable[[K], RouteKey]
    ) -> None:
        self._rate_limiter = RateLimiter(per_second, clock, burst=_BURST)
        self._clock = clock
        self._route_of = route_of
        self._waiting: FairQueue[K] = FairQueue()
        self._called: dict[RouteKey, OrderedDict[K, float]] = {}
        """By route, the keys whose turn has come and that have not asked again yet, each with the time of its call."""
        self._in_flight: set[K] = set()
        self._slots = FairSlots(max_in_flight, namespace_share=_NAMESPACE_SHARE)

    def __len__(self) -> int:
        """Returns the number of keys that wait for their turn."""
        return len(self._waiting)

    def take_turn(self, key: K) -> bool:
        """Starts the turn of a key, if it has come; it lasts until `release`. Otherwise, the key waits to be called.

        A key that asks during its turn ends it, and needs another.
        """
        route, is_called = self._route_of(key), self._forget_call(key)
        self._end_turn(key)
        # A new key does not overtake keys that could have its turn.
        is_first = is_called or not (self._called or self._next_route())
        if is_first and self._slots.may_take(route) and (is_called or not self._rate_limiter.take()):
            self._slots.take(route)
            self._in_flight.add(key)
            return True
        self._waiting.add(route, key, first=is_called)
        if is_called:
            self._rate_limiter.give_back()
        return False

    def release(self, key: K) -> bool:
        """Ends the turn of a key, or gives its turn back if the key does not need it any more.

        Returns:
            Whether the key had its turn or waited for it.
        """
        is_known = self._waiting.discard(self._route_of(key), key) or key in self._in_flight
        self._end_turn(key)
        if self._forget_call(key):
            self._rate_limiter.give_back()
            is_known = True
        return is_known

    def call_next(self) -> K | None:
        """Returns the next key if its turn has come; the key does not wait any more and has to ask again."""
        if self.seconds_until_next() != 0:
            return None
        served = self._waiting.pop(self._slots.namespace_may_take, self._may_call)
        if served is None:
            return None
        self._rate_limiter.take()
        route, key = served
        called = self._called.setdefault(route, OrderedDict())
        if len(called) >= _MAX_CALLED:
            called.popitem(last=False)  # its call is too long ago
        called[key] = self._clock()
        return key

    def seconds_until_next(self) -> float | None:
        """Returns the seconds until the next turn may be given; None if no key waits, or too many are in flight."""
        if self._next_route() is not None:
            return self._rate_limiter.delay()
        return _CALL_SECONDS if self._waiting and self._called else None

    def _next_route(self) -> RouteKey | None:
        """Returns the route whose key is called next."""
        if not self._slots.free:  # every namespace that waits would be asked whether it may have a place
            return None
        return self._waiting.next_route(self._slots.namespace_may_take, self._may_call)

    def _may_call(self, route: RouteKey) -> bool:
        called = self._called.get(route)
        has_place = (
            called is None or len(called) < _MAX_CALLED or self._clock() - next(iter(called.values())) >= _CALL_SECONDS
        )
        return has_place and self._slots.may_take(route)

    def _end_turn(self, key: K) -> None:
        if key in self._in_flight:
            self._in_flight.discard(key)
            self._slots.release(self._route_of(key))

    def _forget_call(self, key: K) -> bool:
        """Forgets that a key was called; returns whether it was."""
        route = self._route_of(key)
        called = self._called.get(route)
        if called is None or called.pop(key, None) is None:
            return False
        if not called:
            del self._called[route]
        return True
