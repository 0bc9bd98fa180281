"""A queue whose keys get turns: in order, at a limited rate, and few of them at the same time."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from statefulroute.domain.rate_limiter import RateLimiter

K = TypeVar("K", bound=Hashable)

#: One turn, and half a turn more, so that a timer that fires late does not lower the rate.
_BURST = 1.5


class TurnQueue(Generic[K]):
    """Gives each key a turn, first come, first served.

    A key asks for its turn. If the turn is not now, the key waits until the queue calls it, and then asks again. A key
    that does not need its turn any more gives it back, so that the next key has it.

    Args:
        per_second: the number of turns in a second.
        max_in_flight: the largest number of keys that use their turn at the same time.
        clock: returns monotonic seconds.
    """

    def __init__(self, per_second: float, max_in_flight: int, clock: Callable[[], float]) -> None:
        self._rate_limiter = RateLimiter(per_second, clock, burst=_BURST)
        self._max_in_flight = max_in_flight
        self._waiting: OrderedDict[K, None] = OrderedDict()
        self._called: set[K] = set()
        """The keys whose turn has come, and that have not asked again yet."""
        self._in_flight: set[K] = set()

    def __len__(self) -> int:
        """Returns the number of keys that wait for their turn."""
        return len(self._waiting)

    def take_turn(self, key: K) -> bool:
        """Starts the turn of a key, if it has come; it lasts until `release`. Otherwise, the key waits to be called.

        A key that asks during its turn ends it, and needs another.
        """
        self._in_flight.discard(key)
        is_called = key in self._called
        self._called.discard(key)
        is_slot_free = len(self._in_flight) < self._max_in_flight
        # A new key does not overtake the keys that wait or were called.
        is_first = is_called or not (self._waiting or self._called)
        if is_slot_free and is_first and (is_called or not self._rate_limiter.take()):
            self._in_flight.add(key)
            return True
        self._waiting.setdefault(key)
        if is_called:
            self._rate_limiter.give_back()
            self._waiting.move_to_end(key, last=False)
        return False

    def release(self, key: K) -> None:
        """Ends the turn of a key, or gives its turn back if the key does not need it any more."""
        self._waiting.pop(key, None)
        self._in_flight.discard(key)
        if key in self._called:
            self._called.discard(key)
            self._rate_limiter.give_back()

    def call_next(self) -> K | None:
        """Returns the next key if its turn has come; the key does not wait any more and has to ask again."""
        if self.seconds_until_next() != 0:
            return None
        self._rate_limiter.take()
        key, _ = self._waiting.popitem(last=False)
        self._called.add(key)
        return key

    def seconds_until_next(self) -> float | None:
        """Returns the seconds until the next turn; None if no key waits, or too many keys are in flight."""
        if not self._waiting or len(self._in_flight) >= self._max_in_flight:
            return None
        return self._rate_limiter.delay()
