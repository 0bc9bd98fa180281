"""How fast links are moved: evenly, so that neither the pods that take them in nor new links are overrun."""

from collections.abc import Callable, Hashable


class Pace:
    """Gives each key a turn of its own: at a fixed rate, and not while too many are under way.

    Args:
        per_second: how many turns there are in a second, at the most.
        at_a_time: how many keys may be at their turn at the same time, at the most.
        clock: monotonic seconds.
    """

    def __init__(self, per_second: float, at_a_time: int, clock: Callable[[], float]) -> None:
        self._interval = 1 / per_second
        self._at_a_time = at_a_time
        self._clock = clock
        self._free_from = 0.0
        self._turns: dict[Hashable, float] = {}
        self._under_way: set[Hashable] = set()

    def wait_for(self, key: Hashable) -> float:
        """The seconds until the key's turn; 0 when it has come, and lasts until the key is ended.

        Asked for the first time, a key is given the next free turn; asked again, it still has that turn. One whose
        turn comes while too many others are under way is given another after all others: what a slow API server holds
        up is not made up for in a burst.
        """
        now = self._clock()
        self._under_way.discard(key)
        turn = self._turns.pop(key, None)
        if turn is None:
            turn = self._next_turn(now)
        if turn <= now:
            if len(self._under_way) < self._at_a_time:
                self._under_way.add(key)
                return 0.0
            turn = self._next_turn(now + self._interval)
        self._turns[key] = turn
        return turn - now

    def end(self, key: Hashable) -> None:
        """The key's turn is over, or it needs none any more; it has no old one when it is asked for next."""
        self._turns.pop(key, None)
        self._under_way.discard(key)

    def _next_turn(self, earliest: float) -> float:
        turn = max(earliest, self._free_from)
        self._free_from = turn + self._interval
        return turn
