"""Reads services and pods from the API server, for a server driver, which does not watch them."""

import msgspec

from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import ENDPOINTS, ROUTES
from statefulroute.cluster.errors import NotFoundError
from statefulroute.cluster.pager import list_pages
from statefulroute.domain.pod import Endpoint
from statefulroute.domain.route import Route
from statefulroute.driver.routes import RouteCache

_PAGE_SIZE = 500


class RequestedServices:
    """Reads the services and pods of one namespace, with one request each.

    Args:
        client: the client of the API server.
        namespace: the namespace.
        cached: the routes that need no request.
    """

    def __init__(self, client: Client, namespace: str, cached: RouteCache) -> None:
        self._client = client
        self._cached = cached
        self._routes = ROUTES.in_namespace(namespace)
        self._pods = ENDPOINTS.in_namespace(namespace)

    async def names(self) -> list[str]:
        """Returns the names of all services. Raises `ClusterError`."""
        names: list[str] = []
        async for page in list_pages(self._client.metadata_only(), self._routes.path, page_size=_PAGE_SIZE):
            names += [item.metadata.name for item in _names.decode(page).items or ()]
        return names

    async def route(self, name: str) -> Route | None:
        """Returns the route of a service, or None. Raises `ClusterError`."""
        try:
            return self._routes.decode(await self._client.get(f"{self._routes.path}/{name}"))
        except NotFoundError:
            return None

    async def slots_of(self, name: str) -> int | None:
        """Returns the number of slots of a service; None if it has none. Raises `ClusterError`."""
        route = self._cached.get(name) or await self.route(name)
        return None if route is None else route.spec.slots

    async def endpoint(self, name: str) -> Endpoint | None:
        """Returns a pod, or None. Raises `ClusterError`."""
        try:
            return self._pods.decode(await self._client.get(f"{self._pods.path}/{name}"))
        except NotFoundError:
            return None


class _Metadata(msgspec.Struct):
    name: str


class _Item(msgspec.Struct):
    metadata: _Metadata


class _Names(msgspec.Struct):
    items: list[_Item] | None


_names = msgspec.json.Decoder(_Names)
