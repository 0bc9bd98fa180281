"""The local copy of all that the operator reads."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from statefulroute.cluster.client import Client
from statefulroute.cluster.reflector import Reflector
from statefulroute.cluster.wire import LINKS, NODES, PODS, ROUTES, STATEFUL_SETS
from statefulroute.cluster.workloads import Workloads


class Mirror:
    """The reflectors of the kinds that bindings depend on."""

    def __init__(self, client: Client) -> None:
        self.links = Reflector(client, LINKS)
        self.routes = Reflector(client, ROUTES)
        self.pods = Reflector(client, PODS)
        self.stateful_sets = Reflector(client, STATEFUL_SETS)
        self.workloads = Workloads(client, self.stateful_sets.cache)
        self.nodes = Reflector(client, NODES)

    @property
    def _reflectors(self) -> tuple[Reflector[Any], ...]:
        return self.links, self.routes, self.pods, self.stateful_sets, self.nodes

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the API server while the context lasts."""
        tasks = [asyncio.create_task(reflector.run()) for reflector in self._reflectors]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def wait_synced(self) -> None:
        """Wait until every kind was listed."""
        for reflector in self._reflectors:
            await reflector.synced.wait()
