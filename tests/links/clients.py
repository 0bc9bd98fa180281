"""Wraps a client, so that a test can observe and delay its requests."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from statefulroute.cluster.client import Client

#: The time limit of a wait; no test passes because of it.
TIMEOUT_SECONDS = 10.0

#: Called before a request is sent, with its method and its path.
Before = Callable[[str, str], Awaitable[None]]


class ObservedClient:
    """A client that records its requests, and calls functions of the test before and after each.

    Args:
        client: sends the requests.
        before: called before each request.
        after: called after each response.
    """

    def __init__(self, client: Client, before: Before | None = None, after: Before | None = None) -> None:
        self.requests: list[str] = []
        self._client = client
        self._before = before
        self._after = after

    @property
    def methods(self) -> str:
        """The methods of the requests so far, for example `GET PATCH`."""
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
    """Delays the first request of one method until the test sets `opened`; later requests pass."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def reached(self) -> None:
        """Waits for that request."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self._reached.wait()

    async def __call__(self, method: str, path: str) -> None:
        del path
        if method == self._method:
            self._reached.set()
            await self.opened.wait()
