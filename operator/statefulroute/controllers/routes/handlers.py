"""The handlers of a StatefulRoute: what kopf calls, and what the timers call."""

import asyncio
from typing import Any

import msgspec
import structlog

from statefulroute.api.group import GROUP, STATEFUL_ROUTE, VERSION
from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.lean_routes import LEAN_ROUTES
from statefulroute.cluster.writes import RouteWriter, status_patch
from statefulroute.controllers.lean_kopf import kopf
from statefulroute.controllers.routes.refresh import RouteRefresher
from statefulroute.controllers.routes.scheduler import RouteScheduler
from statefulroute.controllers.routes.status_updates import StatusUpdater
from statefulroute.controllers.routes.statuses import RouteStatuses
from statefulroute.controllers.routes.workload import WorkloadAssessor
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain.route import Route, RouteView

log = structlog.get_logger(__name__)

#: How long the deletion of a route waits until its annotations are removed from pods and workload: the time grows with
#: the number of pods, of which few are annotated at the same time.
_RELEASE_SECONDS = 10.0
_RELEASED_PODS_A_SECOND = 100


class RouteHandlers:
    """What kopf calls when a StatefulRoute is created, edited or deleted, and what the timers of a route call.

    The links of a route are reconciled from its appearance in the caches on, without a handler
    (`controllers/links/controller.py`).

    Args:
        informers: the caches. Each version of a route that kopf delivers is stored in them, so that a handler never
            works with an older one.
        route_store: the views of routes.
        scheduler: runs the timers.
        refresher: polls what is not watched, and annotates pods.
        updater: writes the statuses of routes.
        assessor: assesses the services of routes.
        writer: writes the first status of a new generation.
        statuses: builds the statuses of routes.
    """

    def __init__(  # noqa: PLR0913 - all that handlers need
        self,
        *,
        informers: Informers,
        route_store: RouteStore,
        scheduler: RouteScheduler,
        refresher: RouteRefresher,
        updater: StatusUpdater,
        assessor: WorkloadAssessor,
        writer: RouteWriter,
        statuses: RouteStatuses,
    ) -> None:
        self._informers = informers
        self._route_store = route_store
        self._scheduler = scheduler
        self._refresher = refresher
        self._updater = updater
        self._assessor = assessor
        self._writer = writer
        self._statuses = statuses
        scheduler.poll_state(self.refresh_state, new_pods=self.poll_new_pods, needs_polling=refresher.needs_polling)
        scheduler.write_status(self.update_status)
        scheduler.assess_workload(self.assess_workload)

    def register(self, registry: kopf.OperatorRegistry) -> None:
        """Adds the handlers of changes to kopf's registry."""
        kind = (GROUP, VERSION, STATEFUL_ROUTE.plural)
        for reason in (kopf.on.create, kopf.on.update, kopf.on.resume):
            reason(*kind, registry=registry, id="resolve", errors=kopf.ErrorsMode.PERMANENT)(self.resolve)
        kopf.on.delete(*kind, registry=registry, id="release", errors=kopf.ErrorsMode.IGNORED)(self.release)

    async def resolve(self, body: kopf.Body, patch: kopf.Patch, **_: Any) -> None:  # noqa: ANN401 - kopf's own
        """Writes the status of a route that was created or edited, at once."""
        route = self._cache_route(body)
        if route is None or route.is_handled:
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
        if route is None:
            return
        view = self._route_store.get(route.key)
        pods = 0 if view is None else len(view.pods)
        try:
            async with asyncio.timeout(_RELEASE_SECONDS + pods / _RELEASED_PODS_A_SECOND):
                await self._scheduler.end_route(route.key)
                await self._refresher.remove_annotations(route)
        except TimeoutError:
            log.warning("a route is deleted before all its annotations were removed", route=route.key)

    async def refresh_state(self, route: Route) -> bool:
        """Polls loads and routing states, and annotates the pods: every `statePeriodSeconds`.

        Returns:
            Whether there is nothing to do before something has changed.
        """
        return await self._refresher.refresh(route)

    async def poll_new_pods(self, route: Route) -> None:
        """Polls the pods that have not been polled: when the pods of a route have changed."""
        await self._refresher.poll_new_pods(route)

    async def update_status(self, view: RouteView) -> bool:
        """Writes the status of a route if it has changed: after a poll, and after each change of what it shows."""
        return await self._updater.update(view)

    async def assess_workload(self, view: RouteView) -> bool:
        """Assesses how busy the service of a route is: at every edit, and every `workloadPeriodSeconds`."""
        return await self._assessor.assess(view)

    def _cache_route(self, body: kopf.Body) -> Route | None:
        """Returns the newest version of a route; None if another route has its name by now: kopf is behind."""
        cached = self._informers.routes.cache.get(body.metadata.namespace, body.metadata.name)
        if cached is not None and cached.resource_version >= int(body.metadata["resourceVersion"]):
            return cached if cached.uid == body.metadata.uid else None
        route = LEAN_ROUTES.decode(msgspec.json.encode(dict(body)))
        self._informers.routes.observe(route)
        return route
