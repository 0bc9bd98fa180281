"""Server-sent events: every move in a service as it comes."""

import asyncio

import msgspec
from aiohttp import web

from statefulroute.driver.events import Event, EventsLost, LinkChanged, Subscription
from statefulroute.resolver.answers import LossAnswer, MoveAnswer
from statefulroute.resolver.directory import Directory
from statefulroute.resolver.http.paths import Target
from statefulroute.resolver.moves import Moves

#: Proxies take a connection for dead on which nothing comes.
_HEARTBEAT_SECONDS = 15.0

_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would keep them back
}


class Streams:
    """Answers with streams of events.

    Args:
        directory: what is known.
        moves: tells of moves.
    """

    def __init__(self, directory: Directory, moves: Moves) -> None:
        self._directory = directory
        self._moves = moves

    def end(self) -> None:
        """End all streams; one that begins later ends at once."""
        self._moves.end()

    async def get_moves(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        """Every move in a service from now on, until the caller or the resolver ends it."""
        self._directory.route(target.route)
        with self._moves.listening(target.route) as moves:
            response = web.StreamResponse(headers=_HEADERS)
            event = asyncio.create_task(_next(moves))
            try:
                await response.prepare(request)
                await response.write(b": moves from now on\n\n")
                while True:
                    await asyncio.wait({event}, timeout=_HEARTBEAT_SECONDS)
                    if not event.done():
                        await response.write(b":\n\n")
                        continue
                    told = event.result()
                    if told is None:
                        return response
                    await response.write(_told(told))
                    event = asyncio.create_task(_next(moves))
            except ConnectionResetError:  # the caller has gone
                return response
            finally:
                event.cancel()


async def _next(moves: Subscription) -> Event | None:
    return await anext(moves, None)


def _told(event: Event) -> bytes:
    match event:
        case LinkChanged(_, uid, before, after):
            name, data = b"moved", msgspec.json.encode(MoveAnswer(uid, before, after))
        case EventsLost(number):
            name, data = b"lost", msgspec.json.encode(LossAnswer(number))
        case _:
            return b":\n\n"
    return b"event: " + name + b"\ndata: " + data + b"\n\n"
