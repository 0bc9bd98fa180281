"""Sends the state of a page to a browser whenever it changes, as server-sent events."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

#: How often changes are looked for: a move is seen in the browser within a second.
_TICK_SECONDS = 0.2

#: A browser that is gone is noticed at the next write, so that there is one at least as often as this.
_HEARTBEAT_SECONDS = 5.0

#: A snapshot is sent at least so often while it is shown: ages and time-dependent problems change by themselves.
_REFRESH_SECONDS = 10.0

_encoder = msgspec.json.Encoder()


class Page:
    """What a stream shows.

    Args:
        version: returns a number that changes with the page.
        snapshot: returns the whole page.
        changes: returns the changes after a number with the number of the last one.
        pause_seconds: the least time between two snapshots.
    """

    def __init__(
        self,
        version: Callable[[], object],
        snapshot: Callable[[], object],
        changes: Callable[[int], tuple[object, int]],
        pause_seconds: float,
    ) -> None:
        self.version = version
        self.snapshot = snapshot
        self.changes = changes
        self.pause_seconds = pause_seconds


async def stream_page(request: web.Request, page: Page, last_number: int, ended: asyncio.Event) -> web.StreamResponse:
    """Send the state of a page and its changes until the browser is gone or the session ends.

    A browser that reads slowly receives fewer snapshots, not old ones: nothing is queued for it.

    Args:
        request: the request of the browser.
        page: the page.
        last_number: the number of the last change that the browser has.
        ended: is set when the session ends, because the server stops, for example.
    """
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"retry: 1000\n\n")
    sender = _Sender(response, page, last_number)
    try:
        while not ended.is_set():
            await sender.tick()
            try:
                await asyncio.wait_for(ended.wait(), _TICK_SECONDS)
            except TimeoutError:
                continue
    except ConnectionError:
        pass  # the browser is gone
    return response


class _Sender:
    def __init__(self, response: web.StreamResponse, page: Page, last_number: int) -> None:
        self._response = response
        self._page = page
        self._last_number = last_number
        self._version: object = None
        self._snapshot_at = self._written_at = float("-inf")

    async def tick(self) -> None:
        """Send what has changed since the last call."""
        now = time.monotonic()
        changes, self._last_number = self._page.changes(self._last_number)
        if changes:
            await self._write("changes", changes)
        version, age = self._page.version(), now - self._snapshot_at
        if (version != self._version and age >= self._page.pause_seconds) or age >= _REFRESH_SECONDS:
            self._version, self._snapshot_at = version, now
            await self._write("snapshot", self._page.snapshot())
        elif now - self._written_at >= _HEARTBEAT_SECONDS:
            self._written_at = now
            await self._response.write(b":\n\n")

    async def _write(self, event: str, data: Any) -> None:  # noqa: ANN401 - anything that msgspec encodes
        self._written_at = time.monotonic()
        await self._response.write(b"event: %b\ndata: %b\n\n" % (event.encode(), _encoder.encode(data)))
