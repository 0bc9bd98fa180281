"""How long a pod may take to hand over a user or a slot, and the numbers of slots, by the routes of its services."""

import asyncio
import math
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.field_logger import get_logger
from statefulroute.domain.errors import StatefulRouteError
from statefulroute.domain.route import Route
from statefulroute.driver.parts import Routes, ServerInformation, ServiceReader

log = get_logger(__name__)

#: How long the route of a further service is cached.
_CACHE_SECONDS = 30.0

#: The same for a route without hand-overs: it may have been edited just before a hand-over was asked for.
_SHORT_CACHE_SECONDS = 1.0

#: The pause before a route is read again that could not be read.
RETRY_SECONDS = 2.0


class _Settings(NamedTuple):
    """What the route of a further service says.

    Attributes:
        timeout: the time-out of hand-overs in seconds; None if it has none.
        slots: the number of slots; None if it has none.
        read_at: when it was read.
    """

    timeout: float | None
    slots: int | None
    read_at: float


_UNREAD = _Settings(None, None, -math.inf)


class HandOverTimeouts:
    """Returns the time-outs of hand-overs, and the numbers of slots.

    The route of the pod's own service is cached by a watch. Those of further services are read when they are needed.

    Args:
        routes: the cached routes.
        services: reads other routes; None reads none.
        server: the identity of the pod.
        on_change: called with a service whose time-out may have changed.
    """

    def __init__(
        self,
        routes: Routes,
        services: ServiceReader | None,
        server: ServerInformation,
        on_change: Callable[[str], None],
    ) -> None:
        self._routes = routes
        self._services = services
        self._own = server.service
        self._on_change = on_change
        self._read: dict[str, _Settings] = {}
        """The settings of each further service."""
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._retries: dict[str, asyncio.TimerHandle] = {}
        """The services whose route could not be read: their users may be waiting for it."""
        self._own_timeout = self.get(self._own)
        routes.listen(server.service, self._own_changed)

    def get(self, service: str) -> float | None:
        """Returns the time-out in seconds; None if the route has no hand-overs, or until it is read."""
        if service == self._own:
            return _timeout(self._routes.get(service))
        timeout = self._read.get(service, _UNREAD).timeout
        self._refresh(service, _SHORT_CACHE_SECONDS if timeout is None else _CACHE_SECONDS)
        return timeout

    def slots(self, service: str) -> int | None:
        """Returns the number of slots; None if the route has none, or until it is read.

        It may be called at each request of a user: a route that cannot be read is not read more often for it.
        """
        if service == self._own:
            route = self._routes.get(service)
            return None if route is None else route.spec.slots
        if service not in self._retries:
            self._refresh(service, _CACHE_SECONDS)
        return self._read.get(service, _UNREAD).slots

    def expect_slots(self, service: str, *, is_new: bool = False) -> None:
        """Reads the number of slots again unless it is known: a slot of the service has arrived.

        Args:
            service: the service.
            is_new: whether no pod has held the slot before. The route may have been created again, with another number.
        """
        if service == self._own:
            return
        if self._read.get(service, _UNREAD).slots is None:
            self._refresh(service, 0.0)
        elif is_new:
            self._refresh(service, _SHORT_CACHE_SECONDS)

    async def read(self, service: str) -> float | None:
        """Returns the time-out in seconds, after the route was read if necessary; None if that is not possible."""
        timeout = self.get(service)
        if timeout is None and (reading := self._reading.get(service)) is not None:
            await asyncio.wait({reading})
            timeout = self._read.get(service, _UNREAD).timeout
        return timeout

    def close(self) -> None:
        """Stops reading."""
        for task in self._reading.values():
            task.cancel()
        for retry in self._retries.values():
            retry.cancel()

    def _own_changed(self) -> None:
        timeout = self.get(self._own)
        if timeout != self._own_timeout:  # most changes of a route are those of its status
            self._own_timeout = timeout
            self._on_change(self._own)

    def _refresh(self, service: str, max_age_seconds: float) -> None:
        """Reads the route of a further service if that was longer ago, and is not in progress."""
        if service in self._reading or self._services is None:
            return
        if monotonic() - self._read.get(service, _UNREAD).read_at > max_age_seconds:
            self._reading[service] = asyncio.create_task(self._read_route(service, self._services))

    async def _read_route(self, service: str, services: ServiceReader) -> None:
        try:
            route = await services.route(service)
            settings = _Settings(_timeout(route), None if route is None else route.spec.slots, monotonic())
        except (StatefulRouteError, ClusterError, ValueError) as error:
            log.warning("cannot read the time-out of hand-overs", service=service, error=str(error))
            if (earlier := self._retries.get(service)) is not None:
                earlier.cancel()
            self._retries[service] = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._retry, service)
            return
        finally:
            del self._reading[service]
        self._read[service] = settings
        self._on_change(service)

    def _retry(self, service: str) -> None:
        del self._retries[service]
        self._on_change(service)


def _timeout(route: Route | None) -> float | None:
    if route is None or route.spec.hand_over is None:
        return None
    return float(route.spec.hand_over.timeout_seconds)
