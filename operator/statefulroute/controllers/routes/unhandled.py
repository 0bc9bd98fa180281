"""Which routes kopf receives: those that it has to handle, and only some of them at the same time."""

import asyncio
import time
from typing import Any

import msgspec

from statefulroute.api.group import FINALIZER

#: How many routes kopf handles at the same time. Each of them costs it a task and about 30 KB.
_MAX_IN_PROGRESS = 100

#: How long kopf may take to handle them before it receives others anyway.
_MAX_WAIT_SECONDS = 10.0

_POLL_SECONDS = 0.02


class _Metadata(msgspec.Struct, rename="camel"):
    namespace: str = ""
    name: str = ""
    generation: int | None = None
    finalizers: list[str] | None = None
    deletion_timestamp: str | None = None


class _Status(msgspec.Struct, rename="camel"):
    observed_generation: Any = None


class RouteObject(msgspec.Struct):
    """What decides whether kopf has to handle a route."""

    metadata: _Metadata
    status: _Status | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The namespace and the name."""
        return self.metadata.namespace, self.metadata.name

    @property
    def is_unhandled(self) -> bool:
        """Whether a handler has to be called, or the finalizer to be added or removed."""
        has_finalizer = FINALIZER in (self.metadata.finalizers or ())
        if self.metadata.deletion_timestamp is not None:
            return has_finalizer
        handled = None if self.status is None else self.status.observed_generation
        return not has_finalizer or handled is None or handled != self.metadata.generation


class UnhandledRoutes:
    """Selects what kopf receives of its lists and watches of routes.

    kopf keeps every object that it receives, and starts a task for each at once. So it does not receive the routes
    that are handled already, which are all of them after a restart, nor the changes of their statuses.
    """

    def __init__(self) -> None:
        self._received: set[tuple[str, str]] = set()
        """The routes that kopf has last received unhandled."""
        self._in_progress: set[tuple[str, str]] = set()
        """Those of them that it has not patched since."""

    def selects(self, route: RouteObject, *, is_deleted: bool = False) -> bool:
        """Returns whether kopf receives a version of a route.

        The first handled version is among them: kopf waits for the result of its own patch.
        """
        if route.is_unhandled and not is_deleted:
            self._received.add(route.key)
            self._in_progress.add(route.key)
            return True
        is_received = route.key in self._received
        self._received.discard(route.key)
        self._in_progress.discard(route.key)
        return is_received or is_deleted

    def patched(self, namespace: str, name: str) -> None:
        """Notices that kopf has patched a route."""
        self._in_progress.discard((namespace, name))

    async def wait_for_place(self) -> None:
        """Waits until kopf may receive another route."""
        deadline = time.monotonic() + _MAX_WAIT_SECONDS
        while len(self._in_progress) >= _MAX_IN_PROGRESS:
            if time.monotonic() >= deadline:
                self._in_progress.clear()  # their handlers fail, or wait
            await asyncio.sleep(_POLL_SECONDS)
