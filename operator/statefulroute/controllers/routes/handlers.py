"""The kopf handlers of a StatefulRoute."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import kopf
import structlog

from statefulroute.api.group import GROUP, STATEFUL_ROUTE, VERSION
from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.mirror import Mirror
from statefulroute.cluster.wire import ROUTES
from statefulroute.cluster.writes import Clock, RouteWriter, changes, utc_now
from statefulroute.controllers.links.controller import LinkController
from statefulroute.controllers.views import RouteViews
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.route import Route
from statefulroute.domain.route_status import route_status

log = structlog.get_logger(__name__)

#: A rollout changes many pods in a moment, and a wave of users many links: after a status at once, what
#: follows within this time goes into the next one.
_SETTLE_SECONDS = 1.0

#: How long a daemon that was asked to stop may take for the writes that it has under way.
_DAEMON_END_SECONDS = 5.0


class RouteHandlers:
    """What kopf calls for each StatefulRoute.

    Args:
        mirror: the caches; what kopf brings is taken into them, so that a handler never sees less than kopf does.
        views: the routes as decisions see them.
        links: works on the links of a route.
        writer: writes a route's status.
        clock: tells the time of day.
    """

    def __init__(
        self, mirror: Mirror, views: RouteViews, links: LinkController, writer: RouteWriter, clock: Clock = utc_now
    ) -> None:
        self._mirror = mirror
        self._views = views
        self._links = links
        self._writer = writer
        self._clock = clock
        self._changed: dict[RouteKey, asyncio.Event] = {}
        """Of each route whose status is kept: set when the status may no longer be true."""
        mirror.links.cache.listen(self._link_changed)

    def register(self, registry: kopf.OperatorRegistry) -> None:
        """Put the handlers and daemons into kopf's registry."""
        kind = (GROUP, VERSION, STATEFUL_ROUTE.plural)
        for reason in (kopf.on.create, kopf.on.update, kopf.on.resume):
            reason(*kind, registry=registry, id="resolve", errors=kopf.ErrorsMode.PERMANENT)(self.resolve)
        for name, daemon in (("links", self.serve_links), ("state", self.refresh_state)):
            kopf.daemon(*kind, registry=registry, id=name, cancellation_timeout=_DAEMON_END_SECONDS)(daemon)

    async def resolve(self, body: kopf.Body, patch: kopf.Patch, **_: Any) -> None:  # noqa: ANN401 - kopf's own
        """A route was created or edited, or the operator has started: say at once what it resolves to."""
        route = self._take_in(body)
        view = self._views.get(route.key)
        if view is not None:
            status = route_status(view, self._clock())
            patch.status.update(changes(route.status, status))
            log.info(
                "route resolved", route=route.name, namespace=route.group, replicas=status.replicas, links=status.links
            )

    async def serve_links(self, body: kopf.Body, stopped: kopf.DaemonStopped, **_: Any) -> None:  # noqa: ANN401
        """Reconcile the links of a route for as long as it lives."""
        route = self._take_in(body)
        await _unless_cancelled(stopped, self._links.serve(route.key, until=stopped.wait))

    async def refresh_state(self, body: kopf.Body, stopped: kopf.DaemonStopped, **_: Any) -> None:  # noqa: ANN401
        """Keep a route's status true: at every change, and every `statePeriodSeconds`."""
        route = self._take_in(body)
        await _unless_cancelled(stopped, self._refresh(route.key, stopped))

    async def _refresh(self, key: RouteKey, stopped: kopf.DaemonStopped) -> None:
        changed = self._changed[key] = asyncio.Event()
        unwatch = self._views.watch(key, changed.set)
        end = asyncio.ensure_future(stopped.wait())
        try:
            while not stopped:
                changed.clear()
                period = await self._say_state(key)
                woken = asyncio.create_task(changed.wait())
                await asyncio.wait({woken, end}, timeout=period, return_when=asyncio.FIRST_COMPLETED)
                woken.cancel()
                await stopped.wait(_SETTLE_SECONDS)
        finally:
            end.cancel()
            unwatch()
            if self._changed.get(key) is changed:
                del self._changed[key]

    async def _say_state(self, key: RouteKey) -> float:
        """Write the status if it has changed; gives the seconds until it is to be looked at again."""
        view = self._views.get(key)
        if view is None or view.route.deleting:
            return _SETTLE_SECONDS
        # The status of a new generation is the handler's: kopf writes it once, together with its own mark.
        if view.route.status.observed_generation == view.route.generation:
            try:
                await self._writer.say(view.route, route_status(view, self._clock()))
            except ClusterError as error:
                log.warning("a route's status was not written: trying again", route=key, error=str(error))
                return _SETTLE_SECONDS
        return view.route.spec.state_period_seconds

    def _link_changed(self, old: Link | None, new: Link | None) -> None:
        """A pod carries more links or fewer."""
        link = new or old
        if link is None or (old and old.held_by) == (new and new.held_by):
            return
        if (changed := self._changed.get(link.group)) is not None:
            changed.set()

    def _take_in(self, body: kopf.Body) -> Route:
        route = ROUTES.convert(dict(body))
        self._mirror.routes.observe(route)
        return route


async def _unless_cancelled(stopped: kopf.DaemonStopped, work: Awaitable[None]) -> None:
    """Swallow the cancellation by which kopf ends a daemon that it has asked to stop: else it warns of it."""
    try:
        await work
    except asyncio.CancelledError:
        if not stopped:
            raise
