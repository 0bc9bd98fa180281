"""Writes the statuses of routes."""

from statefulroute.cluster.errors import ConflictError
from statefulroute.cluster.writes import RouteWriter
from statefulroute.controllers.routes.refresh import RouteRefresher
from statefulroute.controllers.routes.statuses import RouteStatuses
from statefulroute.domain.route import RouteView


class StatusUpdater:
    """Writes the status of a route if it has changed.

    Args:
        refresher: knows which workload is annotated.
        writer: writes the status of a route.
        statuses: builds the statuses of routes.
    """

    def __init__(self, refresher: RouteRefresher, writer: RouteWriter, statuses: RouteStatuses) -> None:
        self._refresher = refresher
        self._writer = writer
        self._statuses = statuses

    async def update(self, view: RouteView) -> bool:
        """Writes the status of a route if it has changed; returns whether it is up to date.

        Raises:
            ClusterError: the write failed, and the status has to be written again.
        """
        route = view.route
        status = self._statuses.build(view)
        workload = self._refresher.annotated_workload(route) or status.workload
        status = status.model_copy(update={"workload": workload})
        try:
            await self._writer.update_status(route, status)
        except ConflictError:
            return False  # another client has changed the route; the next status is of its new version
        self._statuses.record_changes(route, status)
        return True
