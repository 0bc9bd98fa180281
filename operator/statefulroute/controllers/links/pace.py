"""How fast links are moved: evenly, so that the pods that take them in are not overrun."""

from collections.abc import Callable, Hashable


class Pace:
    """Gives each key a turn of its own, at a fixed rate.

    Args:
        per_second: how many turns there are in a second.
        clock: monotonic seconds.
    """

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._interval = 1 / per_second
        self._clock = clock
        self._free_from = 0.0
        self._turns: dict[Hashable, float] = {}

    def wait_for(self, key: Hashable) -> float:
        """The seconds until the key's turn; 0 when it has come, and is taken.

        Asked for the first time, a key is given the next free turn; asked again, it still has that turn.
        """
        now = self._clock()
        turn = self._turns.get(key)
        if turn is None:
            turn = max(now, self._free_from)
            self._free_from = turn + self._interval
        if turn <= now:
            self._turns.pop(key, None)
            return 0.0
        self._turns[key] = turn
        return turn - now

    def forget(self, key: Hashable) -> None:
        """The key needs no turn any more; it would be an old one when it is asked for next."""
        self._turns.pop(key, None)
