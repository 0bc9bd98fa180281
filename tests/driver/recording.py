"""What a driver asks for and says, as a test sees it."""

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
        path: where.
        body: what was sent; None where nothing was.
    """

    method: str
    path: str
    body: bytes | None = None


class RecordingClient(Client):
    """A client that keeps a list of its requests, watches left out, and can have them hang or fail.

    Attributes:
        requests: the requests up to now; a test may clear it.
        written: the paths of all that was ever written.
        before: called before each request; a test holds it, or raises what the request is to end with.
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
        """The requests with these methods, or with any, whose path has this in it."""
        return [each for each in self.requests if (not methods or each.method in methods) and about in each.path]

    @asynccontextmanager
    async def before_each(self, before: Callable[[RecordedRequest], Awaitable[None]]) -> AsyncIterator[None]:
        """Have something done before each request as long as the context lasts."""
        self.before = before
        try:
            yield
        finally:
            self.before = None

    async def _intercept(self, asked: RecordedRequest) -> None:
        self.requests.append(asked)
        if asked.method != "GET":
            self.written.add(asked.path)
        if self.before is not None:
            await self.before(asked)


async def hang(_: RecordedRequest) -> None:
    """Have a request wait for ever."""
    await asyncio.Event().wait()


class RecordingLogger:
    """A logger that keeps its lines."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.entries.append({"level": "info", "event": event, **fields})

    def warning(self, event: str, **fields: Any) -> None:
        self.entries.append({"level": "warning", "event": event, **fields})

    def of(self, event: str) -> list[dict[str, Any]]:
        """The lines of one operation."""
        return [line for line in self.entries if line["event"] == event]
