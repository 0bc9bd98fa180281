"""Server-sent events: every move in a service as it comes."""

import asyncio

import msgspec
from aiohttp import web

from statefulroute.driver.events import Event, EventsLost, LinkChanged, Subscription
from statefulroute.resolver.answers import LossAnswer, MoveAnswer
from statefulroute.resolver.cache import ResolverCache
from statefulroute.resolver.http.paths import RequestPath
from statefulroute.resolver.move_broadcaster import MoveBroadcaster

#: Proxies take a connection for dead on which nothing comes.
_HEARTBEAT_SECONDS = 15.0

_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would keep them back
}


class MoveStreams:
    """Answers with streams of events.

    Args:
        cache: what is known.
        moves: tells of moves.
    """

    def __init__(self, cache: ResolverCache, moves: MoveBroadcaster) -> None:
        self._cache = cache
        self._moves = moves

    def end(self) -> None:
        """End all streams; one that begins later ends at once."""
        self._moves.end()

    async def get_moves(self, request: web.BaseRequest, target: RequestPath) -> web.StreamResponse:
        """Every move in a service from now on, until the caller or the resolver ends it."""
        self._cache.route(target.route)
        with self._moves.subscribe(target.route) as moves:
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
                    await response.write(_encode_event(told))
                    event = asyncio.create_task(_next(moves))
            except ConnectionResetError:  # the caller has gone
                return response
            finally:
                event.cancel()


async def _next(moves: Subscription) -> Event | None:
    return await anext(moves, None)


def _encode_event(event: Event) -> bytes:
    match event:
        case LinkChanged(_, uid, before, after):
            name, data = b"moved", msgspec.json.encode(MoveAnswer(uid, before, after))
        case EventsLost(number):
            name, data = b"lost", msgspec.json.encode(LossAnswer(number))
        case _:
            return b":\n\n"
    return b"event: " + name + b"\ndata: " + data + b"\n\n"
