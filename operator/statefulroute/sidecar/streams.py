"""Streams the events of the pod's users."""

import asyncio
from contextlib import nullcontext

from aiohttp import web

from statefulroute.rest.event_streams import HEARTBEAT, HEARTBEAT_SECONDS, STREAM_HEADERS, observe_connection
from statefulroute.rest.problems import ProblemError, ProblemKind
from statefulroute.sidecar.event_log import EventLog
from statefulroute.sidecar.hand_overs import HandOvers
from statefulroute.sidecar.paths import RequestPath
from statefulroute.sidecar.queries import Query

#: The id of the last event that a client has received, which it sends when it reconnects.
LAST_EVENT_ID = "Last-Event-ID"


class EventStreams:
    """Handles requests for streams of events.

    Args:
        log: the events.
        hand_overs: the hand-overs, in which the clients of streams may take part.
        max_streams: the maximal number of open streams.
    """

    def __init__(self, log: EventLog, hand_overs: HandOvers, max_streams: int) -> None:
        self._log = log
        self._hand_overs = hand_overs
        self._max_streams = max_streams
        self._number = 0

    def __len__(self) -> int:
        """The number of open streams."""
        return self._number

    async def events(self, request: web.BaseRequest, _: RequestPath) -> web.StreamResponse:
        """Streams the events, until the client or the sidecar ends the stream."""
        takes_part = Query(request, ["handOver"]).choice("handOver", ("true", "false")) == "true"
        if self._number >= self._max_streams:
            raise ProblemError(
                ProblemKind.TOO_MANY_STREAMS,
                f"there are {self._max_streams} streams already (--max-streams): close those that are not read",
            )
        stream = _Stream(self._log)
        self._number += 1
        try:
            with (
                observe_connection(request, stream.close),
                self._log.listen(stream.wake),
                self._hand_overs.take_part() if takes_part else nullcontext(),
            ):
                return await stream.send(request)
        finally:
            self._number -= 1


class _Stream:
    """One stream.

    Args:
        log: the events.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._woken = asyncio.Event()
        self._is_closed = False
        """Whether the client has closed the connection."""

    def wake(self) -> None:
        """Lets the stream look at the log again."""
        self._woken.set()

    async def send(self, request: web.BaseRequest) -> web.StreamResponse:
        """Sends the events, until the client or the sidecar ends the stream."""
        response = web.StreamResponse(headers=STREAM_HEADERS)
        position = self._log.position(request.headers.get(LAST_EVENT_ID))
        try:
            await response.prepare(request)
            await response.write(HEARTBEAT)  # the headers reach the client at once
            while not self._is_closed:
                self._woken.clear()
                data, position = self._log.read(position)
                if data:
                    await response.write(data)
                elif self._log.has_ended:
                    break
                elif not await self._wait():
                    await response.write(HEARTBEAT)
        except ConnectionResetError:  # the client has closed the connection
            pass
        return response

    async def _wait(self) -> bool:
        """Waits for a change; returns whether there was one before the next heartbeat."""
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Ends the stream: its client has closed the connection."""
        self._is_closed = True
        self._woken.set()
