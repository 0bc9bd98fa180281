"""The kopf handlers of a StatefulRoute."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import kopf
import structlog

from statefulroute.api.group import GROUP, STATEFUL_ROUTE, VERSION
from statefulroute.api.statefulroute import StatefulRouteStatus
from statefulroute.cluster.codec import ROUTES
from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.writes import RouteWriter, status_patch
from statefulroute.controllers.links.controller import LinkController
from statefulroute.controllers.routes.assessments import Assessments
from statefulroute.controllers.routes.refresh import RouteRefresher
from statefulroute.controllers.routes.state import StateTimer
from statefulroute.controllers.routes.statuses import RouteStatuses
from statefulroute.controllers.routes.workload import WorkloadTimer
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain.route import Route

log = structlog.get_logger(__name__)

#: How long a daemon that was asked to stop may take to finish its writes, and then to be cancelled.
_DAEMON_END_SECONDS, _DAEMON_CANCEL_SECONDS = 5.0, 1.0

#: How long the deletion of a route waits until its annotations are removed from pods and workload.
_RELEASE_SECONDS = 10.0


class RouteHandlers:
    """The handlers and daemons that kopf calls for each StatefulRoute.

    Args:
        informers: the caches. Each version of a route that kopf delivers is stored in them, so that a handler never
            works with an older one.
        route_store: the views of routes.
        links: reconciles the links of a route.
        state: keeps the status of a route up to date.
        workload: assesses the service of a route.
        assessments: the assessments of all services.
        refresher: removes the annotations of a deleted route.
        writer: writes the status of a route.
        statuses: builds the statuses of routes.
    """

    def __init__(  # noqa: PLR0913 - all that handlers and daemons need
        self,
        *,
        informers: Informers,
        route_store: RouteStore,
        links: LinkController,
        state: StateTimer,
        workload: WorkloadTimer,
        assessments: Assessments,
        refresher: RouteRefresher,
        writer: RouteWriter,
        statuses: RouteStatuses,
    ) -> None:
        self._informers = informers
        self._route_store = route_store
        self._links = links
        self._state = state
        self._workload = workload
        self._assessments = assessments
        self._refresher = refresher
        self._writer = writer
        self._statuses = statuses

    def register(self, registry: kopf.OperatorRegistry) -> None:
        """Adds the handlers and daemons to kopf's registry."""
        kind = (GROUP, VERSION, STATEFUL_ROUTE.plural)
        for reason in (kopf.on.create, kopf.on.update, kopf.on.resume):
            reason(*kind, registry=registry, id="resolve", errors=kopf.ErrorsMode.PERMANENT)(self.resolve)
        kopf.on.delete(*kind, registry=registry, id="release", errors=kopf.ErrorsMode.IGNORED)(self.release)
        daemons = (("links", self.reconcile_links), ("state", self.refresh_state), ("workload", self.assess_workload))
        for name, daemon in daemons:
            kopf.daemon(
                *kind,
                registry=registry,
                id=name,
                cancellation_backoff=_DAEMON_END_SECONDS,
                cancellation_timeout=_DAEMON_CANCEL_SECONDS,
            )(daemon)

    async def resolve(self, body: kopf.Body, patch: kopf.Patch, **_: Any) -> None:  # noqa: ANN401 - kopf's own
        """Writes the status of a route that was created or edited, at once."""
        route = self._cache_route(body)
        if route.status.observed_generation == route.generation:
            return  # the operator has just started: the state timer reads the loads before it writes a status
        await self._informers.workloads.refresh(route)
        view = self._route_store.get(route.key)
        if view is not None and view.is_workload_known:
            status = self._statuses.build(view)
            await self._write_status(route, status, patch)
            log.info(
                "route resolved",
                route=route.name,
                namespace=route.namespace,
                replicas=status.replicas,
                links=status.links,
            )

    async def _write_status(self, route: Route, status: StatefulRouteStatus, patch: kopf.Patch) -> None:
        """Writes the status with kopf's patch, which kopf sends after the handler.

        The first status after a start is written apart: if the CustomResourceDefinition is older than this operator,
        the API server refuses some conditions, and kopf would only retry the same patch.
        """
        definition = self._writer.definition
        if definition.is_checked:
            patch.status.update(status_patch(route.status, definition.accepted_part(status), self._writer.operator))
        else:
            try:
                await self._writer.update_status(route, status)
            except ClusterError as error:
                log.warning("a route's status was not written: trying again", route=route.key, error=str(error))
                return
        self._statuses.record_changes(route, status)

    async def release(self, body: kopf.Body, **_: Any) -> None:  # noqa: ANN401
        """Removes the annotations from the pods and the workload of a route that is deleted."""
        route = self._cache_route(body)
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                await self._refresher.remove_annotations(route)
        except TimeoutError:
            log.warning("a route is deleted before all its annotations were removed", route=route.key)
        self._assessments.forget(route.key)

    async def reconcile_links(self, body: kopf.Body, stopped: kopf.DaemonStopped, **_: Any) -> None:  # noqa: ANN401
        """Reconciles the links of a route until it is deleted."""
        route = self._cache_route(body)
        await _unless_cancelled(stopped, self._links.run_route(route.key, until=stopped.wait))

    async def refresh_state(self, body: kopf.Body, stopped: kopf.DaemonStopped, **_: Any) -> None:  # noqa: ANN401
        """Keeps the status of a route up to date: at every change, and every `statePeriodSeconds`."""
        route = self._cache_route(body)
        await _unless_cancelled(stopped, self._state.run(route.key, stopped))

    async def assess_workload(self, body: kopf.Body, stopped: kopf.DaemonStopped, **_: Any) -> None:  # noqa: ANN401
        """Assesses how busy the service of a route is: at every edit, and every `workloadPeriodSeconds`."""
        route = self._cache_route(body)
        await _unless_cancelled(stopped, self._workload.run(route.key, stopped))

    def _cache_route(self, body: kopf.Body) -> Route:
        route = ROUTES.convert(dict(body))
        self._informers.routes.observe(route)
        return route


async def _unless_cancelled(stopped: kopf.DaemonStopped, work: Awaitable[None]) -> None:
    """Ignores the cancellation of a daemon that kopf has asked to stop, of which kopf would warn otherwise."""
    try:
        await work
    except asyncio.CancelledError:
        if not stopped:
            raise
