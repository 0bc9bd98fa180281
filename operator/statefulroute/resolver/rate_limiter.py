"""How often somebody may do something: evenly, with a burst."""

import time
from collections.abc import Callable, Hashable

#: What additions of seconds are off by.
_ROUNDING = 1e-6


class RateLimiter:
    """So many turns a second for each key; a key that has not used them may take as many as of one second at once.

    Args:
        per_second: how many.
        clock: monotonic seconds.
        max_keys: how many keys are remembered; beyond that, those are forgotten that have all their turns anyhow.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic, max_keys: int = 10_000) -> None:
        self._interval = 1 / per_second
        self._burst = max(1.0 - self._interval, 0.0)
        self._clock = clock
        self._max_keys = max_keys
        self._used_until: dict[Hashable, float] = {}
        """Up to when a key's turns are used, if they were given out evenly (the cell rate algorithm's arrival time)."""

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._used_until)

    def take(self, key: Hashable) -> float:
        """Take a turn; gives the seconds until there is one, 0 where this one is taken."""
        now = self._clock()
        used_until = max(self._used_until.get(key, now), now)
        if (wait := used_until - now - self._burst) > _ROUNDING:
            return wait
        if len(self._used_until) >= self._max_keys and key not in self._used_until:
            self._used_until = {each: until for each, until in self._used_until.items() if until > now}
        self._used_until[key] = used_until + self._interval
        return 0.0
