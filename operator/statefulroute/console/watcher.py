"""Watches routes and links, and keeps what the console shows of them."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from statefulroute.cli.link_changes import LINK_STATES, LinkState, LinkTracker, routing_changes
from statefulroute.cli.output.messages import handle_warnings
from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import utc_now
from statefulroute.cluster.codec import ROUTES
from statefulroute.cluster.field_logger import Message
from statefulroute.cluster.informer import Informer, run_reflectors
from statefulroute.cluster.reflector import Reflector
from statefulroute.console.history import STEP_SECONDS, History, Sample
from statefulroute.console.links import LinkIndex
from statefulroute.console.recent_changes import RecentChanges
from statefulroute.console.routes import ROUTE_RECORDS, RouteRecord
from statefulroute.domain.keys import RouteKey

#: How often bindings whose status is overdue are recorded.
_CHECK_SECONDS = 0.25


class Watcher:
    """Routes and links as they are now, and their latest changes.

    Args:
        client: the client of the API server.
        namespaces: the namespaces to watch; none means the whole cluster.

    Attributes:
        route_cache: the routes.
        link_cache: the links.
        reflectors: what keeps the caches up to date.
        links: the links by route.
        changes: the latest changes.
        history: the last hour of each route.
        version: counts the changes of anything that the console shows.
        warning: the last problem with the API server; empty if there was none.
    """

    def __init__(self, client: Client, namespaces: Sequence[str]) -> None:
        routes, links = Informer(client, ROUTE_RECORDS, namespaces), Informer(client, LINK_STATES, namespaces)
        self.route_cache, self.link_cache = routes.cache, links.cache
        self.reflectors: tuple[Reflector[Any], ...] = (*routes.reflectors, *links.reflectors)
        self._tracker = LinkTracker()
        self._versions: dict[RouteKey, int] = {}
        self.links = LinkIndex(self._touch)
        self.changes = RecentChanges()
        self.history = History()
        self.version = 0
        self.warning = ""
        self.route_cache.listen(self._route_changed)
        self.link_cache.listen(self._link_changed)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Watch while the context is open; the watch survives outages of the API server."""
        handle_warnings(self._record_warning)
        async with run_reflectors(self.reflectors):
            tasks = [asyncio.create_task(each) for each in (self._record_overdue(), self._record_history())]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    @property
    def is_synced(self) -> bool:
        """Whether all objects have been listed."""
        return all(reflector.synced.is_set() for reflector in self.reflectors)

    @property
    def is_current(self) -> bool:
        """Whether all objects have been listed, and each watch is open or its last attempt has not failed."""
        return all(reflector.is_healthy for reflector in self.reflectors)

    def routes(self) -> list[RouteRecord]:
        """Returns all routes."""
        return [record for key in self.route_cache if (record := self.route_cache.get(*key)) is not None]

    def route(self, key: RouteKey) -> RouteRecord | None:
        """Returns a route; None if it does not exist."""
        return self.route_cache.get(key.namespace, key.name)

    def link(self, namespace: str, name: str) -> LinkState | None:
        """Returns a link; None if it does not exist."""
        return self.link_cache.get(namespace, name)

    def version_of(self, key: RouteKey) -> int:
        """Returns a number that grows with each change of a route or of its links."""
        return self._versions.get(key, 0)

    def _touch(self, key: RouteKey) -> None:
        self.version += 1
        self._versions[key] = self.version

    def _route_changed(self, old: RouteRecord | None, new: RouteRecord | None) -> None:
        record = new or old
        if record is None:
            return
        self._touch(record.key)
        if self.is_synced:
            before, after = (None if each is None else ROUTES.decode_or_skip(each.data) for each in (old, new))
            for change in routing_changes(before, after):
                self.changes.add(change, utc_now())
        self._forget_if_gone(record.key)

    def _link_changed(self, old: LinkState | None, new: LinkState | None) -> None:
        self.links.replace(old, new)
        if self.is_synced:
            now = utc_now()
            change = self._tracker.observe(old, new, time.monotonic(), now)
            if change is not None:
                self.changes.add(change, now)
        if old is not None:
            self._forget_if_gone(RouteKey(old.namespace, old.route))

    def _forget_if_gone(self, key: RouteKey) -> None:
        """Forget a route that does not exist and has no links; its links may be deleted after it."""
        if self.route(key) is None and not self.links.of_route(key).states:
            self._versions.pop(key, None)
            self.changes.forget(key)

    async def _record_overdue(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            for change in self._tracker.take_overdue(time.monotonic()):
                self.changes.add(change, utc_now())
                self._touch(RouteKey(change.namespace, change.route))

    async def _record_history(self) -> None:
        while True:
            if self.is_synced:
                self.history.record(utc_now(), [self._sample(record) for record in self.routes()])
            await asyncio.sleep(STEP_SECONDS if self.is_synced else _CHECK_SECONDS)

    def _sample(self, record: RouteRecord) -> Sample:
        key = record.key
        links = len(self.links.of_route(key))
        return Sample(key, links, record.card.load, self.changes.total("bound", key), self.changes.total("moved", key))

    def _record_warning(self, record: logging.LogRecord) -> None:
        message = record.msg
        if isinstance(message, Message):
            self.warning = f"{message.event} ({message.fields.get('error', 'no details')})"
        else:
            self.warning = record.getMessage()
