"""The rate at which links are moved: even, so that neither the target pods nor new links are overrun."""

from collections.abc import Callable, Hashable

from statefulroute.domain.rate_limiter import RateLimiter


class MoveLimiter:
    """Gives each key a turn of its own, at a fixed rate and while few enough keys are in flight.

    Args:
        per_second: the number of turns in a second.
        max_in_flight: the largest number of keys that use their turn at the same time.
        clock: returns monotonic seconds.
    """

    def __init__(self, per_second: float, max_in_flight: int, clock: Callable[[], float]) -> None:
        self._rate_limiter = RateLimiter(per_second, clock, burst=1)
        self._interval = 1 / per_second
        self._max_in_flight = max_in_flight
        self._clock = clock
        self._turns: dict[Hashable, float] = {}
        """When the turn of each waiting key starts."""
        self._in_flight: set[Hashable] = set()

    def delay_for(self, key: Hashable) -> float:
        """Returns the seconds until a key's turn; 0 where it has come, and then it lasts until `forget`.

        The first call for a key reserves the next free turn, and later calls keep that turn. If too many other keys
        are in flight when the turn comes, the key gets another turn after all reserved ones, so that the moves that a
        slow API server delays do not follow in a burst.
        """
        now = self._clock()
        self._in_flight.discard(key)
        turn = self._turns.pop(key, None)
        if turn is None:
            turn = now + self._rate_limiter.reserve()
        if turn <= now:
            if len(self._in_flight) < self._max_in_flight:
                self._in_flight.add(key)
                return 0.0
            turn = now + self._rate_limiter.reserve(delay=self._interval)
        self._turns[key] = turn
        return turn - now

    def forget(self, key: Hashable) -> None:
        """Ends the turn of a key, or drops the turn that it does not need any more."""
        self._turns.pop(key, None)
        self._in_flight.discard(key)
