"""How fast links are moved: evenly, so that neither the pods that take them in nor new links are overrun."""

from collections.abc import Callable, Hashable


class MoveLimiter:
    """Gives each key a turn of its own: at a fixed rate, and not while too many are under way.

    Args:
        per_second: how many turns there are in a second, at the most.
        max_in_flight: how many keys may be at their turn at the same time, at the most.
        clock: monotonic seconds.
    """

    def __init__(self, per_second: float, max_in_flight: int, clock: Callable[[], float]) -> None:
        self._interval = 1 / per_second
        self._max_in_flight = max_in_flight
        self._clock = clock
        self._free_from = 0.0
        self._turns: dict[Hashable, float] = {}
        self._in_flight: set[Hashable] = set()

    def delay_for(self, key: Hashable) -> float:
        """The seconds until the key's turn; 0 when it has come, and lasts until the key is ended.

        Asked for the first time, a key is given the next free turn; asked again, it still has that turn. One whose
        turn comes while too many others are under way is given another after all others: what a slow API server holds
        up is not made up for in a burst.
        """
        now = self._clock()
        self._in_flight.discard(key)
        turn = self._turns.pop(key, None)
        if turn is None:
            turn = self._next_turn(now)
        if turn <= now:
            if len(self._in_flight) < self._max_in_flight:
                self._in_flight.add(key)
                return 0.0
            turn = self._next_turn(now + self._interval)
        self._turns[key] = turn
        return turn - now

    def forget(self, key: Hashable) -> None:
        """The key's turn is over, or it needs none any more; it has no old one when it is asked for next."""
        self._turns.pop(key, None)
        self._in_flight.discard(key)

    def _next_turn(self, earliest: float) -> float:
        turn = max(earliest, self._free_from)
        self._free_from = turn + self._interval
        return turn
