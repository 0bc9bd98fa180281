"""The local copy of all that the operator reads."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import LINKS, NODES, PODS, ROUTES, STATEFUL_SETS
from statefulroute.cluster.informer import Informer, run_reflectors, wait_synced
from statefulroute.cluster.reflector import Reflector
from statefulroute.cluster.workloads import Workloads
from statefulroute.domain.pod import Node


class Informers:
    """The reflectors of the kinds that bindings depend on.

    Args:
        client: how to reach the API server.
        namespaces: where they are followed; none is the whole cluster. In namespaces, nodes are not followed: they
            are in none, and whoever may read some namespaces may not read nodes.
    """

    def __init__(self, client: Client, namespaces: Sequence[str] = ()) -> None:
        self.links = Informer(client, LINKS, namespaces)
        self.routes = Informer(client, ROUTES, namespaces)
        self.pods = Informer(client, PODS, namespaces)
        self.stateful_sets = Informer(client, STATEFUL_SETS, namespaces)
        self.workloads = Workloads(client, self.stateful_sets.cache)
        self.nodes = None if namespaces else Informer(client, NODES)

    @property
    def reflectors(self) -> tuple[Reflector[Any], ...]:
        """Everything that follows the API server."""
        feeds = (self.links, self.routes, self.pods, self.stateful_sets, self.nodes)
        return tuple(reflector for feed in feeds if feed is not None for reflector in feed.reflectors)

    @property
    def nodes_by_name(self) -> Mapping[str, Node] | None:
        """The nodes by their names; None where they are not followed, and their pods alone tell of them."""
        return None if self.nodes is None else self.nodes.cache.in_partition("")

    def run(self) -> AbstractAsyncContextManager[None]:
        """Follow the API server while the context lasts."""
        return run_reflectors(self.reflectors)

    async def wait_synced(self) -> None:
        """Wait until every kind was listed."""
        await wait_synced(self.reflectors)
