"""Watches the links and routes of a namespace, or of all, and reports their changes."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from copy import copy
from typing import TypeVar

from statefulroute.api.group import POD_LINK, STATEFUL_ROUTE
from statefulroute.cli.cluster import Cluster
from statefulroute.cli.link_changes import LINK_STATES, LinkChange, LinkState, LinkTracker, routing_changes
from statefulroute.cli.output.messages import handle_warnings
from statefulroute.cluster.cache import Cached
from statefulroute.cluster.clock import utc_now
from statefulroute.cluster.codec import ROUTES
from statefulroute.cluster.field_logger import Message
from statefulroute.cluster.reflector import Reflector
from statefulroute.cluster.resource_type import ResourceType
from statefulroute.domain.route import Route

T = TypeVar("T", bound=Cached)

#: How often bindings whose status is overdue are reported.
_CHECK_SECONDS = 0.25


class ChangeWatcher:
    """Watches routes and links.

    Args:
        cluster: where to watch them.
        route: the name of the only route to watch, with its links; None is all routes.

    Attributes:
        routes: the present routes by namespace and name.
        changes: the queue of changes since the watch started.
    """

    def __init__(self, cluster: Cluster, route: str | None) -> None:
        link_selector = f"spec.routeName={route}" if route else ""
        self._links = Reflector(cluster.client, _scoped(LINK_STATES, cluster.namespace, link_selector))
        self._routes = Reflector(
            cluster.client, _scoped(ROUTES, cluster.namespace, f"metadata.name={route}" if route else "")
        )
        self._tracker = LinkTracker()
        self.routes: dict[tuple[str, str], Route] = {}
        self.changes: asyncio.Queue[LinkChange] = asyncio.Queue()
        self._links.cache.listen(self._link_changed)
        self._routes.cache.listen(self._route_changed)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._links.run())
            tasks.create_task(self._routes.run())
            while True:
                await asyncio.sleep(_CHECK_SECONDS)
                for change in self._tracker.take_overdue(time.monotonic()):
                    self.changes.put_nowait(change)

    async def wait_for_sync(self) -> None:
        """Wait until all objects have been listed: from then on every difference is a change."""
        await self._links.synced.wait()
        await self._routes.synced.wait()

    def _link_changed(self, old: LinkState | None, new: LinkState | None) -> None:
        if not self._links.synced.is_set():
            return
        change = self._tracker.observe(old, new, time.monotonic(), utc_now())
        if change is not None:
            self.changes.put_nowait(change)

    def _route_changed(self, old: Route | None, new: Route | None) -> None:
        if new is not None:
            self.routes[new.namespace, new.name] = new
        elif old is not None:
            self.routes.pop((old.namespace, old.name), None)
        if self._routes.synced.is_set():
            for change in routing_changes(old, new):
                self.changes.put_nowait(change)


@asynccontextmanager
async def watch_changes(
    cluster: Cluster, route: str | None, on_warning: Callable[[str], None]
) -> AsyncIterator[ChangeWatcher]:
    """Returns a context in which links and routes are watched; the watch survives outages of the API server.

    Args:
        cluster: where to watch.
        route: the only route to watch, with its links; None is all routes.
        on_warning: is called with a message when the API server does not answer.

    Raises:
        CommandError: the route does not exist.
        ClusterError: the API server does not answer, or the user does not have the permission.
    """
    if route is not None and cluster.namespace is not None:
        await cluster.route(route)
    for kind in (STATEFUL_ROUTE, POD_LINK):  # fail now if it cannot work: a reflector retries without end
        await cluster.client.get(cluster.path(kind), {"limit": "1"})
    _redirect_log(on_warning)
    watcher = ChangeWatcher(cluster, route)
    task = asyncio.create_task(watcher.run())
    try:
        await watcher.wait_for_sync()
        yield watcher
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _redirect_log(on_warning: Callable[[str], None]) -> None:
    """Passes the warnings of the reflectors to a function: log lines would mix with the output of the command."""

    def redirect(record: logging.LogRecord) -> None:
        if isinstance(record.msg, Message):
            on_warning(f"{record.msg.event} ({record.msg.fields.get('error', 'no details')})")
        else:
            on_warning(record.getMessage())

    handle_warnings(redirect)


def _scoped(resource: ResourceType[T], namespace: str | None, fields: str) -> ResourceType[T]:
    """Returns a resource type of one namespace or all, restricted by a field selector."""
    if namespace is not None:
        return resource.in_namespace(namespace, fields)
    scoped = copy(resource)
    scoped.selector_params = {"fieldSelector": fields} if fields else {}
    return scoped
