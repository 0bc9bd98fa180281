"""What the statuses of routes show of their slots."""

from collections.abc import Callable, Mapping
from datetime import datetime

from statefulroute.api.vocabulary import ConditionType
from statefulroute.controllers.slots.counts import SlotCounts
from statefulroute.domain.conditions import ConditionState
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.route import RouteView
from statefulroute.domain.slots.status import SlotFacts, slot_conditions


class SlotStatuses:
    """What is known of the slots of each route.

    Args:
        counts: how many slots are bound.
    """

    def __init__(self, counts: SlotCounts) -> None:
        self._counts = counts
        self._refusals: dict[RouteKey, str] = {}
        self._listeners: list[Callable[[RouteKey], None]] = []
        counts.listen(self._notify)

    def listen(self, listener: Callable[[RouteKey], None]) -> None:
        """Calls a function when the status of a route has to show something else."""
        self._listeners.append(listener)

    def conditions(self, view: RouteView, now: datetime) -> Mapping[ConditionType, ConditionState]:
        """Returns the conditions of a route with slots; none if it has no slots."""
        if view.route.spec.slots is None:
            return {}
        key = view.route.key
        return slot_conditions(view, SlotFacts(self._counts.bound(key), self._refusals.get(key, "")), now)

    def put_refusal(self, route: RouteKey, message: str) -> None:
        """Stores why the API server refuses to create links of a route; empty if it does not."""
        if self._refusals.get(route, "") == message:
            return
        self._refusals[route] = message
        self._notify(route)

    def forget(self, route: RouteKey) -> None:
        """Drops a route that is deleted, or that this operator does not work on any more."""
        self._refusals.pop(route, None)

    def _notify(self, route: RouteKey) -> None:
        for listener in self._listeners:
            listener(route)
