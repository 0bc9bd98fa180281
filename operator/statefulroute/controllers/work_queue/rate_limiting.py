"""When a key is retried after a failure, and how long workers pause while the API server fails."""

import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from statefulroute.domain.backoff import Backoff, retry_delay

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class RetryDelays:
    """The bounds of the delays before retries, in seconds.

    Attributes:
        initial: the delay after the first failure of a key.
        longest: the longest delay.
        longest_in_outage: the longest delay after an error of the API server itself. It is shorter, because links are
            to be bound within ten seconds of the end of an outage.
    """

    initial: float = 0.05
    longest: float = 30.0
    longest_in_outage: float = 5.0


class RetryBackoff(Generic[K]):
    """Exponential backoff for each key, as client-go's `ItemExponentialFailureRateLimiter`.

    Args:
        delays: the bounds of the delays.
        random: returns a random number from 0 to 1.
    """

    def __init__(self, delays: RetryDelays = RetryDelays(), random: Callable[[], float] = random.random) -> None:
        self._delays = delays
        self._random = random
        self._failures: dict[K, int] = {}

    def next_delay(self, key: K, *, in_outage: bool = False, retry_after_seconds: float = 0.0) -> float:
        """Counts a failure of a key.

        Args:
            key: the key.
            in_outage: whether it was the API server that failed.
            retry_after_seconds: the pause that the API server asks for; 0 if it asks for none.

        Returns:
            The seconds until the retry. They double with every failure in a row.
        """
        longest = self._delays.longest_in_outage if in_outage else self._delays.longest
        failures = self._failures.get(key, 0)
        delay = min(self._delays.initial * 2.0**failures, longest)
        if delay < longest:  # so the power stays small enough for a float, however often the key fails
            self._failures[key] = failures + 1
        return retry_delay(delay, retry_after_seconds, self._random)

    def forget(self, key: K) -> None:
        """Resets the delay of a key, which has succeeded."""
        self._failures.pop(key, None)


class OutagePause:
    """The pause that each worker makes before its next key while the API server fails.

    Without it, the workers would send a request for every waiting key to an API server that refuses them all. The
    pause doubles with each round of failures of all workers, up to 0.8 s, and the first success ends it.

    A worker whose request was answered with `Retry-After` pauses at least that long, also while others succeed: so the
    more requests an API server refuses, the fewer workers send further ones.

    Args:
        workers: how many workers there are.
        initial_seconds: the longest pause of the first round.
        random: returns a random number from 0 to 1.
    """

    def __init__(
        self, workers: int, initial_seconds: float = 0.05, random: Callable[[], float] = random.random
    ) -> None:
        self._workers = workers
        self._backoff = Backoff(initial_seconds, 16 * initial_seconds, random)
        self._random = random
        self._failures = 0

    def record_failure(self) -> None:
        """Counts a failure of the API server."""
        self._failures += 1

    def reset(self) -> None:
        """Ends the pauses: a key has succeeded."""
        self._failures = 0

    def seconds(self, retry_after_seconds: float = 0.0) -> float:
        """Returns the length of the next pause of a worker; 0 unless the API server fails.

        Args:
            retry_after_seconds: the pause that the API server has asked this worker for; 0 if it asked for none.
        """
        pause = self._backoff.delay(self._failures // self._workers) if self._failures else 0.0
        return retry_delay(pause, retry_after_seconds, self._random)
