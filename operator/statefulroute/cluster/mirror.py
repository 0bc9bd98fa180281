"""The local copy of all that the operator reads."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from statefulroute.cluster.client import Client
from statefulroute.cluster.feed import Feed, following, synced
from statefulroute.cluster.reflector import Reflector
from statefulroute.cluster.wire import LINKS, NODES, PODS, ROUTES, STATEFUL_SETS
from statefulroute.cluster.workloads import Workloads
from statefulroute.domain.pod import Node


class Mirror:
    """The reflectors of the kinds that bindings depend on.

    Args:
        client: how to reach the API server.
        namespaces: where they are followed; none is the whole cluster. In namespaces, nodes are not followed: they
            are in none, and whoever may read some namespaces may not read nodes.
    """

    def __init__(self, client: Client, namespaces: Sequence[str] = ()) -> None:
        self.links = Feed(client, LINKS, namespaces)
        self.routes = Feed(client, ROUTES, namespaces)
        self.pods = Feed(client, PODS, namespaces)
        self.stateful_sets = Feed(client, STATEFUL_SETS, namespaces)
        self.workloads = Workloads(client, self.stateful_sets.cache)
        self.nodes = None if namespaces else Feed(client, NODES)

    @property
    def reflectors(self) -> tuple[Reflector[Any], ...]:
        """Everything that follows the API server."""
        feeds = (self.links, self.routes, self.pods, self.stateful_sets, self.nodes)
        return tuple(reflector for feed in feeds if feed is not None for reflector in feed.reflectors)

    @property
    def known_nodes(self) -> Mapping[str, Node] | None:
        """The nodes by their names; None where they are not followed, and their pods alone tell of them."""
        return None if self.nodes is None else self.nodes.cache.in_group("")

    def running(self) -> AbstractAsyncContextManager[None]:
        """Follow the API server while the context lasts."""
        return following(self.reflectors)

    async def wait_synced(self) -> None:
        """Wait until every kind was listed."""
        await synced(self.reflectors)
