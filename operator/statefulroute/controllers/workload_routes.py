"""The index of routes by workload: several routes may share the pods of one workload."""

from collections.abc import Iterable

from statefulroute.domain.keys import RouteKey, WorkloadKey
from statefulroute.domain.route import Route


class WorkloadRoutes:
    """The routes to each workload, updated with every change of a route."""

    def __init__(self) -> None:
        self._workloads: dict[RouteKey, WorkloadKey] = {}
        self._routes: dict[WorkloadKey, tuple[RouteKey, ...]] = {}

    def update(self, old: Route | None, new: Route | None) -> Iterable[RouteKey]:
        """Handles a change of a route; returns the routes that share its workload now, or that shared it before.

        A change that does not concern them returns none.
        """
        old_workload = None if old is None else old.workload_key
        new_workload = None if new is None else new.workload_key
        if old_workload == new_workload:
            if old is None or new is None or old.is_deleting is new.is_deleting:
                return ()
            return self.others(new.key)  # one of them annotates the workload from now on
        others: tuple[RouteKey, ...] = ()
        if old is not None and old_workload is not None:
            others = self.others(old.key)
            self._workloads.pop(old.key, None)
            self._routes[old_workload] = others
            if not others:
                del self._routes[old_workload]
        if new is not None and new_workload is not None:
            self._workloads[new.key] = new_workload
            self._routes[new_workload] = tuple(sorted({*self._routes.get(new_workload, ()), new.key}))
            others += self.others(new.key)
        return others

    def of(self, workload: WorkloadKey) -> tuple[RouteKey, ...]:
        """Returns the routes to a workload, by name."""
        return self._routes.get(workload, ())

    def others(self, route: RouteKey) -> tuple[RouteKey, ...]:
        """Returns the other routes to the workload of a route, by name."""
        workload = self._workloads.get(route)
        routes = () if workload is None else self._routes[workload]
        return tuple(key for key in routes if key != route) if len(routes) > 1 else ()
