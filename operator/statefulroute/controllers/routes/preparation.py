"""Prepares the work on routes while another operator leads, so that a new leader serves them soon."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from statefulroute.cluster.cache import Cache
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.route import Route

log = structlog.get_logger(__name__)

#: How many routes are prepared before a pause, and how long that is: at most a quarter of a processor is used.
_CHUNK_SIZE, _PAUSE_SECONDS = 50, 0.01

#: How soon new and edited routes are prepared.
_PERIOD_SECONDS = 5.0


class RoutePreparation:
    """Prepares the routes of a standby.

    Args:
        routes: the cache of routes.
        route_store: the views of routes.
    """

    def __init__(self, routes: Cache[Route], route_store: RouteStore) -> None:
        self._routes = routes
        self._route_store = route_store

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Prepares all routes, and those that are new or edited, while the context is open."""
        preparing = asyncio.create_task(self._run())
        try:
            yield
        finally:
            preparing.cancel()
            await asyncio.wait([preparing])

    async def _run(self) -> None:
        try:
            self._route_store.start_term()  # what an earlier term has observed would not be used
            while True:
                await self._prepare_all()
                await asyncio.sleep(_PERIOD_SECONDS)
        except Exception:
            log.exception("an unexpected error: routes are not prepared any more")

    async def _prepare_all(self) -> None:
        prepared = 0
        for number, (namespace, name) in enumerate(tuple(self._routes), start=1):
            prepared += self._route_store.prepare(RouteKey(str(namespace), name))
            if number % _CHUNK_SIZE == 0:
                await asyncio.sleep(_PAUSE_SECONDS if prepared else 0)
                prepared = 0
