"""Whether the operator lives, and whether it is ready: what a kubelet asks."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from statefulroute.cluster.reflector import Reflector
from statefulroute.monitoring.caches import resource_of

#: A watch is given up after 150 s without a word, and a list after 65 s; an attempt that fails is followed by another
#: within half a minute. A reflector that shows no sign of life for this long will not do so without a restart.
INACTIVITY_LIMIT_SECONDS = 300.0


class HealthCheck(NamedTuple):
    """One question, and its answer.

    Attributes:
        name: what was asked.
        failure: what is wrong; None where nothing is.
    """

    name: str
    failure: str | None = None


class Health:
    """Answers for the watches.

    An API server that cannot be reached is no fault of this process, and a restart would only empty its caches: a
    watch that is tried again and again is alive.

    Args:
        reflectors: what follows the API server.
        clock: monotonic seconds.
    """

    def __init__(self, reflectors: Iterable[Reflector[Any]], clock: Callable[[], float] = time.monotonic) -> None:
        self.is_stopping = False
        """Set before the end, where others are to be given the time to go elsewhere."""
        self._reflectors = tuple(reflectors)
        self._clock = clock

    def check_liveness(self) -> Iterator[HealthCheck]:
        """Whether this process works; that it answers at all says that its event loop does."""
        yield HealthCheck("ping")
        for reflector in self._reflectors:
            silent = self._clock() - reflector.last_activity_at
            fault = f"no news and no attempt for {silent:.0f} s" if silent > INACTIVITY_LIMIT_SECONDS else None
            yield HealthCheck(f"watch-{resource_of(reflector)}", fault)

    def check_readiness(self) -> Iterator[HealthCheck]:
        """Whether it could work at once: its caches are filled. A standby is ready too."""
        yield HealthCheck("ping", "it was told to stop" if self.is_stopping else None)
        for reflector in self._reflectors:
            fault = None if reflector.synced.is_set() else "the first list is not complete"
            yield HealthCheck(f"cache-{resource_of(reflector)}", fault)
