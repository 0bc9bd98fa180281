"""The kopf handlers of a StatefulRoute."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import kopf
import structlog

from statefulroute.api.group import GROUP, STATEFUL_ROUTE, VERSION
from statefulroute.cluster.clock import Clock
from statefulroute.cluster.codec import ROUTES
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.writes import status_patch
from statefulroute.controllers.links.controller import LinkController
from statefulroute.controllers.routes.assessments import Assessments
from statefulroute.controllers.routes.refresh import RouteRefresher
from statefulroute.controllers.routes.state import StateTimer
from statefulroute.controllers.routes.workload import WorkloadTimer
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain.route import Route
from statefulroute.domain.route_status import route_status

log = structlog.get_logger(__name__)

#: How long a daemon that was asked to stop may take for the writes that it has under way, and then to be cancelled.
_DAEMON_END_SECONDS, _DAEMON_CANCEL_SECONDS = 5.0, 1.0

#: How long a route's deletion waits for its notes to be removed from pods and workload.
_RELEASE_SECONDS = 10.0


class RouteHandlers:
    """What kopf calls for each StatefulRoute.

    Args:
        informers: the caches; what kopf brings is taken into them, so that a handler never sees less than kopf does.
        route_store: the routes as decisions see them.
        links: works on the links of a route.
        state: keeps a route's status.
        workload: assesses a route's service.
        assessments: what it has found.
        refresh: takes away what it has noted.
        clock: tells the time of day.
    """

    def __init__(  # noqa: PLR0913 - a route's whole life
        self,
        *,
        informers: Informers,
        route_store: RouteStore,
        links: LinkController,
        state: StateTimer,
        workload: WorkloadTimer,
        assessments: Assessments,
        refresh: RouteRefresher,
        clock: Clock,
    ) -> None:
        self._informers = informers
        self._route_store = route_store
        self._links = links
        self._state = state
        self._workload = workload
        self._assessments = assessments
        self._refresh = refresh
        self._clock = clock

    def register(self, registry: kopf.OperatorRegistry) -> None:
        """Put the handlers and daemons into kopf's registry."""
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
        """A route was created or edited: say at once what it resolves to."""
        route = self._cache_route(body)
        if route.status.observed_generation == route.generation:
            return  # the operator has started: its state timer reads the loads before it says anything
        await self._informers.workloads.refresh(route)
        view = self._route_store.get(route.key)
        if view is not None and view.is_workload_known:
            status = route_status(view, self._assessments.of(route), self._clock())
            patch.status.update(status_patch(route.status, status))
            log.info(
                "route resolved",
                route=route.name,
                namespace=route.namespace,
                replicas=status.replicas,
                links=status.links,
            )

    async def release(self, body: kopf.Body, **_: Any) -> None:  # noqa: ANN401
        """A route is being deleted: take away what was noted on its pods and its workload."""
        route = self._cache_route(body)
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                await self._refresh.remove_annotations(route)
        except TimeoutError:
            log.warning("a route is deleted before all its notes were removed", route=route.key)
        self._assessments.forget(route.key)

    async def reconcile_links(self, body: kopf.Body, stopped: kopf.DaemonStopped, **_: Any) -> None:  # noqa: ANN401
        """Reconcile the links of a route for as long as it lives."""
        route = self._cache_route(body)
        await _unless_cancelled(stopped, self._links.run_route(route.key, until=stopped.wait))

    async def refresh_state(self, body: kopf.Body, stopped: kopf.DaemonStopped, **_: Any) -> None:  # noqa: ANN401
        """Keep a route's status true: at every change, and every `statePeriodSeconds`."""
        route = self._cache_route(body)
        await _unless_cancelled(stopped, self._state.run(route.key, stopped))

    async def assess_workload(self, body: kopf.Body, stopped: kopf.DaemonStopped, **_: Any) -> None:  # noqa: ANN401
        """Assess how busy a route's service is: at every edit, and every `workloadPeriodSeconds`."""
        route = self._cache_route(body)
        await _unless_cancelled(stopped, self._workload.run(route.key, stopped))

    def _cache_route(self, body: kopf.Body) -> Route:
        route = ROUTES.convert(dict(body))
        self._informers.routes.observe(route)
        return route


async def _unless_cancelled(stopped: kopf.DaemonStopped, work: Awaitable[None]) -> None:
    """Swallow the cancellation by which kopf ends a daemon that it has asked to stop: else it warns of it."""
    try:
        await work
    except asyncio.CancelledError:
        if not stopped:
            raise
