"""The last assessment of each service: how busy it is."""

from collections.abc import Callable

from statefulroute.domain.assessment import Assessment
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.milli import MILLI
from statefulroute.domain.route import Route


class Assessments:
    """The last assessment of each route; before the first one of this process, the assessment in the route's status."""

    def __init__(self) -> None:
        self._assessments: dict[RouteKey, Assessment] = {}
        self._listeners: list[Callable[[RouteKey], None]] = []

    def listen(self, listener: Callable[[RouteKey], None]) -> None:
        """Calls a function when an assessment differs from the previous one."""
        self._listeners.append(listener)

    def of(self, route: Route) -> Assessment:
        """Returns the last assessment of a service."""
        if (found := self._assessments.get(route.key)) is not None:
            return found
        state, load = route.status_assessment
        return Assessment(state, None if load is None else load * MILLI)

    def put(self, route: Route, assessment: Assessment) -> Assessment:
        """Stores an assessment, and returns the previous one."""
        before, self._assessments[route.key] = self.of(route), assessment
        if before != assessment:
            for listener in self._listeners:
                listener(route.key)
        return before

    def forget(self, route: RouteKey) -> None:
        """Drops the assessment of a route that is deleted, or that this operator assesses no longer."""
        self._assessments.pop(route, None)
