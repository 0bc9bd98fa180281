"""Liveness and readiness checks for the kubelet's probes."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from statefulroute.cluster.reflector import Reflector
from statefulroute.monitoring.caches import resource_of

#: A watch times out after 150 s without data, a list after 65 s, and a failed attempt is retried within 30 s. A
#: reflector that is inactive for longer than all of these does not recover without a restart.
INACTIVITY_LIMIT_SECONDS = 300.0


class HealthCheck(NamedTuple):
    """The result of a check.

    Attributes:
        name: the name of the check.
        failure: the reason for the failure; None if the check passed.
    """

    name: str
    failure: str | None = None


class Health:
    """Checks the watches of a process.

    A watch that is retried counts as alive. An unreachable API server is not a failure of this process, and a restart
    would only empty its caches.

    Args:
        reflectors: the reflectors to check.
        clock: returns monotonic seconds.
    """

    def __init__(self, reflectors: Iterable[Reflector[Any]], clock: Callable[[], float] = time.monotonic) -> None:
        self.is_stopping = False
        """Whether the process is shutting down; it then reports not ready, so that clients move to another process."""
        self._reflectors = tuple(reflectors)
        self._clock = clock

    def check_liveness(self) -> Iterator[HealthCheck]:
        """Yields the checks of /healthz. A response at all shows that the event loop runs."""
        yield HealthCheck("ping")
        for reflector in self._reflectors:
            inactive = self._clock() - reflector.last_activity_at
            failure = f"no event and no attempt for {inactive:.0f} s" if inactive > INACTIVITY_LIMIT_SECONDS else None
            yield HealthCheck(f"watch-{resource_of(reflector)}", failure)

    def check_readiness(self) -> Iterator[HealthCheck]:
        """Yields the checks of /readyz: the caches have synced. A standby is ready, too."""
        yield HealthCheck("ping", "the process is stopping" if self.is_stopping else None)
        for reflector in self._reflectors:
            failure = None if reflector.synced.is_set() else "the first list is not complete"
            yield HealthCheck(f"cache-{resource_of(reflector)}", failure)
