"""Caches the StatefulRoutes of a namespace for drivers."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import ROUTES
from statefulroute.cluster.reflector import Reflector
from statefulroute.domain.route import Route

#: The maximal pause between tries of a watch. Short, because applications read from these caches after an outage.
BACKOFF_SECONDS = 5.0


class RouteCache:
    """Caches the StatefulRoutes of a namespace, or one of them, by a watch; an async context manager.

    Many drivers may share a cache. It can be read while the API server is unavailable.

    Args:
        client: the client of the API server.
        namespace: the namespace of the routes.
        name: the only route to cache; None caches all.

    Attributes:
        namespace: the namespace of the routes.
        reflector: updates the cache.
    """

    def __init__(self, client: Client, namespace: str, name: str | None = None) -> None:
        self.namespace = namespace
        self.reflector = Reflector(
            client, ROUTES.in_namespace(namespace, f"metadata.name={name}" if name else ""), BACKOFF_SECONDS
        )
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        self._slots: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None
        self.reflector.cache.listen(self._changed)

    async def __aenter__(self) -> Self:
        if self._task is None:
            self._task = asyncio.create_task(self.reflector.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def wait_synced(self) -> None:
        """Waits until the routes are read for the first time."""
        await self.reflector.synced.wait()

    def get(self, name: str) -> Route | None:
        """Returns the cached route of a service, or None."""
        return self.reflector.cache.get(self.namespace, name)

    def slots_of(self, name: str) -> int | None:
        """Returns the number of slots of a service; None if it has none, or is not cached."""
        return self._slots.get(name)

    def all(self) -> list[Route]:
        """Returns all cached routes."""
        return list(self.reflector.cache.in_partition(self.namespace).values())

    def listen(self, name: str, listener: Callable[[], None]) -> Callable[[], None]:
        """Calls a function at every change of a service; returns a function that removes the listener."""
        listeners = self._listeners.setdefault(name, [])
        listeners.append(listener)

        def remove() -> None:
            listeners.remove(listener)
            if not listeners and self._listeners.get(name) is listeners:
                del self._listeners[name]

        return remove

    def listen_all(self, listener: Callable[[Route | None, Route | None], None]) -> None:
        """Calls a function at every change of any service, with the versions before and after."""
        self.reflector.cache.listen(listener)

    def _changed(self, old: Route | None, new: Route | None) -> None:
        route = new or old
        if route is not None:
            if new is not None and new.spec.slots is not None:
                self._slots[new.name] = new.spec.slots
            else:
                self._slots.pop(route.name, None)
            for listener in tuple(self._listeners.get(route.name, ())):
                listener()
