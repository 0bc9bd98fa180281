"""Following all links and routes of a place, for as long as somebody looks."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from copy import copy
from typing import Any, TypeVar

import structlog

from statefulroute.api.group import POD_LINK, STATEFUL_ROUTE
from statefulroute.cli.cluster import Cluster
from statefulroute.cli.link_changes import LINK_STATES, LinkChange, LinkState, LinkTracker, routing_changes
from statefulroute.cluster.cache import Cached
from statefulroute.cluster.clock import utc_now
from statefulroute.cluster.codec import ROUTES
from statefulroute.cluster.reflector import Reflector
from statefulroute.cluster.resource_type import ResourceType
from statefulroute.domain.route import Route

T = TypeVar("T", bound=Cached)

#: How often it is looked whether the operator's word on a binding is overdue.
_LOOK_SECONDS = 0.25


class ChangeWatcher:
    """The routes of a place, and what happens there.

    Attributes:
        routes: the routes, each under its namespace and name.
        changes: what has happened since the watch began, to be taken from here.
    """

    def __init__(self, cluster: Cluster, route: str | None) -> None:
        links = f"spec.routeName={route}" if route else ""
        self._links = Reflector(cluster.client, _scoped(LINK_STATES, cluster.namespace, links))
        self._routes = Reflector(
            cluster.client, _scoped(ROUTES, cluster.namespace, f"metadata.name={route}" if route else "")
        )
        self._bindings = LinkTracker()
        self.routes: dict[tuple[str, str], Route] = {}
        self.changes: asyncio.Queue[LinkChange] = asyncio.Queue()
        self._links.cache.listen(self._link_changed)
        self._routes.cache.listen(self._route_changed)

    async def run(self) -> None:
        """Follow them until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._links.run())
            group.create_task(self._routes.run())
            while True:
                await asyncio.sleep(_LOOK_SECONDS)
                for late in self._bindings.take_overdue(time.monotonic()):
                    self.changes.put_nowait(late)

    async def wait_for_sync(self) -> None:
        """Wait until all was read that is there: from then on everything is news."""
        await self._links.synced.wait()
        await self._routes.synced.wait()

    def _link_changed(self, old: LinkState | None, new: LinkState | None) -> None:
        if not self._links.synced.is_set():
            return
        happening = self._bindings.observe(old, new, time.monotonic(), utc_now())
        if happening is not None:
            self.changes.put_nowait(happening)

    def _route_changed(self, old: Route | None, new: Route | None) -> None:
        if new is not None:
            self.routes[new.namespace, new.name] = new
        elif old is not None:
            self.routes.pop((old.namespace, old.name), None)
        if self._routes.synced.is_set():
            for happening in routing_changes(old, new):
                self.changes.put_nowait(happening)


@asynccontextmanager
async def watch_changes(
    cluster: Cluster, route: str | None, on_warning: Callable[[str], None]
) -> AsyncIterator[ChangeWatcher]:
    """A watch that goes on, whatever becomes of the connection, for as long as the context lasts.

    Args:
        cluster: where.
        route: the only route to follow, with its links; None follows all.
        on_warning: is told when the API server does not answer.

    Raises:
        SentenceError: there is no such route.
        ClusterError: the API server does not answer now, or may not be asked.
    """
    if route is not None and cluster.namespace is not None:
        await cluster.route(route)
    for kind in (STATEFUL_ROUTE, POD_LINK):  # what cannot work is said now: the watch itself would try for ever
        await cluster.client.get(cluster.path(kind), {"limit": "1"})
    _redirect_log(on_warning)
    watch = ChangeWatcher(cluster, route)
    task = asyncio.create_task(watch.run())
    try:
        await watch.wait_for_sync()
        yield watch
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _redirect_log(complain: Callable[[str], None]) -> None:
    """Have the reflectors' warnings told in place of being logged: they would get in between what is shown."""

    def take(_: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if method in {"warning", "error", "exception"}:
            complain(f"{event.get('event')} ({event.get('error', 'no more is known')})")
        raise structlog.DropEvent

    structlog.configure(processors=[take])


def _scoped(resource: ResourceType[T], namespace: str | None, fields: str) -> ResourceType[T]:
    if namespace is not None:
        return resource.in_namespace(namespace, fields)
    scoped = copy(resource)
    scoped.selector_params = {"fieldSelector": fields} if fields else {}
    return scoped
