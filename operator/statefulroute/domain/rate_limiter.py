"""A rate limiter: one token bucket for each key."""

from collections.abc import Callable, Hashable

#: Absorbs the rounding errors of additions of seconds.
_ROUNDING_SECONDS = 1e-6


class RateLimiter:
    """Limits how often something happens for each key: `per_second` times on average, with bursts.

    Each key has a token bucket that starts full, holds `burst` tokens and gains `per_second` tokens a second. The
    limiter stores one time for each key (the theoretical arrival time of the generic cell rate algorithm) and needs
    no timer.

    Args:
        per_second: the tokens that each key gains in a second.
        clock: returns monotonic seconds.
        burst: the tokens that a bucket holds, at least 1; None is the tokens of one second.
        max_keys: how many keys are stored. Above it, the limiter drops the keys whose buckets are full, so that
            dropping a key never grants it a token.
    """

    def __init__(
        self, per_second: float, clock: Callable[[], float], *, burst: float | None = None, max_keys: int = 10_000
    ) -> None:
        self._interval = 1 / per_second
        self._tolerance = (max(per_second if burst is None else burst, 1.0) - 1.0) * self._interval
        self._clock = clock
        self._max_keys = max_keys
        self._full_at: dict[Hashable, float] = {}
        """When the bucket of each key is full again."""

    def __len__(self) -> int:
        """Returns the number of stored keys."""
        return len(self._full_at)

    def take(self, key: Hashable = None, tokens: int = 1) -> float:
        """Takes tokens if one is available now.

        Args:
            key: the key whose bucket is used; a limiter of one bucket needs none.
            tokens: how many are taken; those that the bucket does not hold are taken from its future ones.

        Returns:
            0 if the tokens were taken; otherwise the seconds until one is available, and nothing was taken.
        """
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now)
        if (wait := full_at - now - self._tolerance) > _ROUNDING_SECONDS:
            return wait
        self._store(key, full_at + tokens * self._interval, now)
        return 0.0

    def delay(self, key: Hashable = None) -> float:
        """Returns the seconds until a token is available, and takes none."""
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now)
        wait = full_at - now - self._tolerance
        return wait if wait > _ROUNDING_SECONDS else 0.0

    def give_back(self, key: Hashable = None) -> None:
        """Puts back a token that was taken and not used."""
        if key in self._full_at:
            self._full_at[key] -= self._interval

    def _store(self, key: Hashable, full_at: float, now: float) -> None:
        if len(self._full_at) >= self._max_keys and key not in self._full_at:
            self._full_at = {stored: time for stored, time in self._full_at.items() if time > now}
        self._full_at[key] = full_at
