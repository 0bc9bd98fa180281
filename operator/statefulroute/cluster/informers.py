"""The informers of the operator: local copies of all objects that it reads."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import LINKS, NODES, PODS, STATEFUL_SETS
from statefulroute.cluster.informer import Informer, run_reflectors, wait_synced
from statefulroute.cluster.lean_routes import LEAN_ROUTES
from statefulroute.cluster.reflector import Reflector
from statefulroute.cluster.workloads import Workloads
from statefulroute.domain.pod import Node


class Informers:
    """The informers of the kinds that bindings depend on.

    Args:
        client: the client for the API server.
        namespaces: the namespaces to watch; none means the whole cluster. With namespaces, nodes are not watched:
            they are cluster-scoped, and an account that may read selected namespaces may not read nodes.
    """

    def __init__(self, client: Client, namespaces: Sequence[str] = ()) -> None:
        self.links = Informer(client, LINKS, namespaces)
        self.routes = Informer(client, LEAN_ROUTES, namespaces)
        self.pods = Informer(client, PODS, namespaces)
        self.stateful_sets = Informer(client, STATEFUL_SETS, namespaces)
        self.workloads = Workloads(client, self.stateful_sets.cache)
        self.routes.cache.listen(self.workloads.watches.route_changed)
        self.nodes = None if namespaces else Informer(client, NODES)

    @property
    def reflectors(self) -> tuple[Reflector[Any], ...]:
        """All reflectors."""
        informers = (self.links, self.routes, self.pods, self.stateful_sets, self.nodes)
        return tuple(reflector for informer in informers if informer is not None for reflector in informer.reflectors)

    @property
    def nodes_by_name(self) -> Mapping[str, Node] | None:
        """The nodes by name; None if nodes are not watched and only the state of pods is known."""
        return None if self.nodes is None else self.nodes.cache.in_partition("")

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Runs the informers while the context is open."""
        async with run_reflectors(self.reflectors), self.workloads.run():
            yield

    async def wait_synced(self) -> None:
        """Waits until the first list of every kind is complete."""
        await wait_synced(self.reflectors)
