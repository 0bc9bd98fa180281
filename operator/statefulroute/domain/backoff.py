"""How long to wait before a retry: exponential backoff with jitter."""

from collections.abc import Callable
from dataclasses import dataclass

#: 2**64 times any delay is above any limit, and still fits a float.
_MAX_DOUBLINGS = 64


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff: the delay doubles with each attempt, up to a limit, and a random part spreads retries.

    Attributes:
        initial_seconds: the longest delay before the first retry.
        max_seconds: the longest delay before any retry.
        random: returns a random number from 0 to 1, as `random.random` does.
        jitter: the part of a delay that is random, from 0 (none) to 1. Clients that failed together then do not
            retry together.
    """

    initial_seconds: float
    max_seconds: float
    random: Callable[[], float]
    jitter: float = 0.5

    def delay(self, attempt: int) -> float:
        """Returns the seconds to wait before a retry.

        Args:
            attempt: the number of retries before this one; 0 for the first retry.
        """
        longest = min(self.initial_seconds * 2.0 ** min(attempt, _MAX_DOUBLINGS), self.max_seconds)
        return longest * (1 - self.jitter * (1 - self.random()))
