"""How long to wait before a retry: exponential backoff with jitter, and at least as long as the server asks."""

from collections.abc import Callable
from dataclasses import dataclass

#: 2**64 times any delay is above any limit, and still fits a float.
_MAX_DOUBLINGS = 64

#: The longest pause that a server may ask for. The API server's priority and fairness asks for 1 to 32 seconds; a
#: longer pause is a mistake or a hostile proxy, and would stop the work for its length.
MAX_RETRY_AFTER_SECONDS = 32.0

#: A pause that the server asks for is extended by a random part up to this one: clients that were refused together do
#: not return together.
_RETRY_AFTER_JITTER = 0.25


def retry_delay(delay: float, retry_after_seconds: float, random: Callable[[], float]) -> float:
    """Returns the seconds to wait before a retry: the client's own delay, and at least what the server asks for.

    Args:
        delay: the client's own delay, in seconds.
        retry_after_seconds: the pause that the server asks for, of which 32 s count at most; 0 if it asks for none.
        random: returns a random number from 0 to 1.
    """
    if retry_after_seconds <= 0:
        return delay
    return max(delay, min(retry_after_seconds, MAX_RETRY_AFTER_SECONDS) * (1 + _RETRY_AFTER_JITTER * random()))


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

    def delay(self, attempt: int, retry_after_seconds: float = 0.0) -> float:
        """Returns the seconds to wait before a retry.

        Args:
            attempt: the number of retries before this one; 0 for the first retry.
            retry_after_seconds: the pause that the server asks for; it may be longer than the limit.
        """
        longest = min(self.initial_seconds * 2.0 ** min(attempt, _MAX_DOUBLINGS), self.max_seconds)
        delay = longest * (1 - self.jitter * (1 - self.random()))
        return retry_delay(delay, retry_after_seconds, self.random)
