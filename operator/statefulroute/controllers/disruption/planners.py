"""The routes that plan disruptions: one for each workload."""

from collections.abc import Callable, Collection

from statefulroute.domain.disruption.features import plans_disruptions
from statefulroute.domain.keys import RouteKey, WorkloadKey
from statefulroute.domain.route import Route


class Planners:
    """The route that plans for each workload: the first by name of those that configure planned disruptions.

    Args:
        routes_to: returns the routes to a workload.
    """

    def __init__(self, routes_to: Callable[[WorkloadKey], Collection[Route]]) -> None:
        self._routes_to = routes_to
        self._planners: dict[WorkloadKey, RouteKey] = {}
        self._routes: dict[WorkloadKey, Collection[RouteKey]] = {}
        """The routes to each workload for which one of them plans."""
        self._workloads: dict[RouteKey, WorkloadKey] = {}
        """The workload of each of these routes."""

    def of(self, workload: WorkloadKey) -> RouteKey | None:
        """Returns the route that plans for a workload; None if none does."""
        return self._planners.get(workload)

    def routes(self) -> Collection[RouteKey]:
        """Returns the routes to all workloads for which a route plans."""
        return tuple(self._workloads)

    def routes_to(self, workload: WorkloadKey) -> Collection[RouteKey]:
        """Returns the routes to a workload for which one of them plans; none if none does."""
        return self._routes.get(workload, ())

    def workload_of(self, route: RouteKey) -> WorkloadKey | None:
        """Returns the workload of a route; None if no route plans for it."""
        return self._workloads.get(route)

    def planner_of(self, route: RouteKey) -> RouteKey | None:
        """Returns the route that plans for the workload of a route; None if none does."""
        workload = self._workloads.get(route)
        return None if workload is None else self._planners.get(workload)

    def update(self, old: Route | None, new: Route | None) -> Collection[WorkloadKey]:
        """Handles a route that was created, edited or deleted; returns the workloads that this may concern."""
        routes = [route for route in (old, new) if route is not None]
        concerned = dict.fromkeys(
            route.workload_key
            for route in routes
            if plans_disruptions(route.spec) or route.workload_key in self._planners
        )
        for workload in concerned:
            self._update(workload)
        return concerned.keys()

    def _update(self, workload: WorkloadKey) -> None:
        routes = [route for route in self._routes_to(workload) if not route.is_deleting]
        for key in self._routes.pop(workload, ()):
            del self._workloads[key]
        planner = min((route.key for route in routes if plans_disruptions(route.spec)), default=None)
        if planner is None:
            self._planners.pop(workload, None)
            return
        self._planners[workload] = planner
        self._routes[workload] = [route.key for route in routes]
        self._workloads.update((route.key, workload) for route in routes)
