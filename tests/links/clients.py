"""Clients that do what `Client` does, and let a test see or hold their requests."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from statefulroute.cluster.client import Client

#: How long a test waits for what must come; nothing passes because it took this long.
TIMEOUT_SECONDS = 10.0

#: Called before a request goes out, with its method and its path.
Before = Callable[[str, str], Awaitable[None]]


class ObservedClient:
    """A client that keeps a list of its requests, and waits for the test before each of them and after.

    Args:
        client: carries the requests out.
        before: called before each request.
        after: called when its answer is there.
    """

    def __init__(self, client: Client, before: Before | None = None, after: Before | None = None) -> None:
        self.requests: list[str] = []
        self._client = client
        self._before = before
        self._after = after

    @property
    def methods(self) -> str:
        """The methods of the requests up to now, like `GET PATCH`."""
        return " ".join(self.requests)

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> bytes:
        return await self._send("GET", path, lambda: self._client.get(path, params))

    async def merge_patch(self, path: str, body: bytes) -> bytes:
        return await self._send("PATCH", path, lambda: self._client.merge_patch(path, body))

    async def post(self, path: str, body: bytes) -> bytes:
        return await self._send("POST", path, lambda: self._client.post(path, body))

    async def delete(self, path: str, options: bytes) -> bytes:
        return await self._send("DELETE", path, lambda: self._client.delete(path, options))

    async def _send(self, method: str, path: str, request: Callable[[], Awaitable[bytes]]) -> bytes:
        self.requests.append(method)
        if self._before is not None:
            await self._before(method, path)
        try:
            return await request()
        finally:
            if self._after is not None:
                await self._after(method, path)


class RequestBarrier:
    """Holds the first request of one method until the test opens it; later ones pass."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def reached(self) -> None:
        """Wait for that request."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self._reached.wait()

    async def __call__(self, method: str, path: str) -> None:
        del path
        if method == self._method:
            self._reached.set()
            await self.opened.wait()
