"""A client and a logger that record what a driver sends and logs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request.

    Attributes:
        method: GET, POST, PATCH or DELETE.
        path: the path.
        body: the body; None if the request had none.
    """

    method: str
    path: str
    body: bytes | None = None


class RecordingClient(Client):
    """A client that records its requests, except watches, and can delay or fail them.

    Attributes:
        requests: the requests so far; a test may clear the list.
        written: the paths of all writes.
        before: called before each request; it may delay the request, or raise its error.
    """

    def __init__(self, connection: Connection, connections: int = 32) -> None:
        super().__init__(connection, connections)
        self.requests: list[RecordedRequest] = []
        self.written: set[str] = set()
        self.before: Callable[[RecordedRequest], Awaitable[None]] | None = None

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> bytes:
        await self._intercept(RecordedRequest("GET", path))
        return await super().get(path, params)

    async def post(self, path: str, body: bytes) -> bytes:
        await self._intercept(RecordedRequest("POST", path, body))
        return await super().post(path, body)

    async def merge_patch(self, path: str, body: bytes) -> bytes:
        await self._intercept(RecordedRequest("PATCH", path, body))
        return await super().merge_patch(path, body)

    async def delete(self, path: str, options: bytes) -> bytes:
        await self._intercept(RecordedRequest("DELETE", path, options))
        return await super().delete(path, options)

    def recorded(self, *methods: str, about: str = "") -> list[RecordedRequest]:
        """Returns the requests with one of the methods (default: any) whose path contains a text."""
        return [
            request for request in self.requests if (not methods or request.method in methods) and about in request.path
        ]

    @asynccontextmanager
    async def before_each(self, before: Callable[[RecordedRequest], Awaitable[None]]) -> AsyncIterator[None]:
        """Calls a function before each request while the context lasts."""
        self.before = before
        try:
            yield
        finally:
            self.before = None

    async def _intercept(self, request: RecordedRequest) -> None:
        self.requests.append(request)
        if request.method != "GET":
            self.written.add(request.path)
        if self.before is not None:
            await self.before(request)


async def hang(_: RecordedRequest) -> None:
    """Delays a request forever."""
    await asyncio.Event().wait()


class RecordingLogger:
    """A logger that keeps its entries."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.entries.append({"level": "info", "event": event, **fields})

    def warning(self, event: str, **fields: Any) -> None:
        self.entries.append({"level": "warning", "event": event, **fields})

    def of(self, event: str) -> list[dict[str, Any]]:
        """Returns the entries of one operation."""
        return [entry for entry in self.entries if entry["event"] == event]
