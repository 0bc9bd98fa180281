"""The services of a namespace, followed by a watch: what drivers know of them."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import ROUTES
from statefulroute.cluster.reflector import Reflector
from statefulroute.domain.route import Route

#: Applications read from these copies: after an outage they shall soon be true again.
BACKOFF_SECONDS = 5.0


class RouteCache:
    """A copy of a namespace's StatefulRoutes, or of one of them; an async context manager. Many drivers may share one.

    Reads go on from the copy while the API server does not answer.

    Args:
        client: how to reach the API server.
        namespace: where the routes are.
        name: the only route to follow; None follows all.
    """

    def __init__(self, client: Client, namespace: str, name: str | None = None) -> None:
        self._namespace = namespace
        self._reflector = Reflector(
            client, ROUTES.in_namespace(namespace, f"metadata.name={name}" if name else ""), BACKOFF_SECONDS
        )
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._reflector.cache.listen(self._changed)

    async def __aenter__(self) -> Self:
        if self._task is None:
            self._task = asyncio.create_task(self._reflector.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def wait_synced(self) -> None:
        """Wait until the routes were read for the first time."""
        await self._reflector.synced.wait()

    def get(self, name: str) -> Route | None:
        """A service as it was a moment ago, or None."""
        return self._reflector.cache.get(self._namespace, name)

    def all(self) -> list[Route]:
        """Every service."""
        return list(self._reflector.cache.in_partition(self._namespace).values())

    def listen(self, name: str, listener: Callable[[], None]) -> Callable[[], None]:
        """Have a function called at every change of a service; gives the function that ends it."""
        listeners = self._listeners.setdefault(name, [])
        listeners.append(listener)

        def end() -> None:
            listeners.remove(listener)
            if not listeners and self._listeners.get(name) is listeners:
                del self._listeners[name]

        return end

    def listen_all(self, listener: Callable[[Route | None, Route | None], None]) -> None:
        """Have a function called at every change of any service, with the version before and the one after."""
        self._reflector.cache.listen(listener)

    def _changed(self, old: Route | None, new: Route | None) -> None:
        route = new or old
        if route is not None:
            for listener in tuple(self._listeners.get(route.name, ())):
                listener()
