"""What the last plans of routes state."""

from collections.abc import Callable

from statefulroute.domain.disruption.features import plans_disruptions
from statefulroute.domain.disruption.status import DisruptionStatus, stored_status, switched_off_status
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.route import Route


class DisruptionStatuses:
    """What the last plan of each route states.

    Args:
        is_switched_off: whether this operator makes no plans.
    """

    def __init__(self, *, is_switched_off: bool = False) -> None:
        self._is_switched_off = is_switched_off
        self._statuses: dict[RouteKey, DisruptionStatus] = {}
        self._listeners: list[Callable[[RouteKey], None]] = []

    def listen(self, listener: Callable[[RouteKey], None]) -> None:
        """Calls a function when a plan states something else than the one before."""
        self._listeners.append(listener)

    def of(self, route: Route) -> DisruptionStatus | None:
        """Returns what the last plan of a route states, also one of another process; None if it configures none."""
        if not plans_disruptions(route.spec):
            return None
        if self._is_switched_off:
            return switched_off_status(route)
        return self._statuses.get(route.key) or stored_status(route.status)

    def put(self, route: RouteKey, status: DisruptionStatus) -> None:
        """Stores what a plan states."""
        if self._statuses.get(route) == status:
            return
        self._statuses[route] = status
        for listener in self._listeners:
            listener(route)

    def forget(self, route: RouteKey) -> None:
        """Drops a route that is deleted, or for which this operator does not plan any more."""
        self._statuses.pop(route, None)
