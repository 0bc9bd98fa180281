"""Streams the moves of a route as server-sent events."""

import asyncio

import msgspec
from aiohttp import web

from statefulroute.driver.events import Change, Event, EventsLost, LinkChanged, SlotChanged, Subscription
from statefulroute.resolver.answers import LossAnswer, MoveAnswer, SlotMoveAnswer
from statefulroute.resolver.cache import ResolverCache
from statefulroute.resolver.http.callers import peer_of
from statefulroute.resolver.http.paths import RequestPath
from statefulroute.resolver.move_broadcaster import MoveBroadcaster
from statefulroute.rest.event_streams import HEARTBEAT, HEARTBEAT_SECONDS, STREAM_HEADERS, observe_connection


class MoveStreams:
    """Handles requests for streams of moves.

    Args:
        cache: the resolver's cache.
        moves: sends moves to subscriptions.
    """

    def __init__(self, cache: ResolverCache, moves: MoveBroadcaster) -> None:
        self._cache = cache
        self._moves = moves

    def end(self) -> None:
        """Ends all streams; a later one ends at once."""
        self._moves.end()

    async def get_moves(self, request: web.BaseRequest, path: RequestPath) -> web.StreamResponse:
        """Streams every move of a route from now on, until the client or the resolver ends the stream."""
        self._cache.route(path.route)
        client = path.caller or peer_of(request)
        with self._moves.subscribe(path.route, client) as moves, observe_connection(request, moves.end):
            response = web.StreamResponse(headers=STREAM_HEADERS)
            next_event = asyncio.create_task(_next(moves))
            try:
                await response.prepare(request)
                await response.write(b": moves from now on\n\n")
                while True:
                    await asyncio.wait({next_event}, timeout=HEARTBEAT_SECONDS)
                    if not next_event.done():
                        await response.write(HEARTBEAT)
                        continue
                    event = next_event.result()
                    if event is None:
                        return response
                    await response.write(_encode_event(event))
                    next_event = asyncio.create_task(_next(moves))
            except ConnectionResetError:  # the client has closed the connection
                return response
            finally:
                next_event.cancel()


async def _next(moves: Subscription[Change]) -> Event | None:
    return await anext(moves, None)


def _encode_event(event: Event) -> bytes:
    match event:
        case LinkChanged(_, uid, before, after):
            name, data = b"moved", msgspec.json.encode(MoveAnswer(uid, before, after))
        case SlotChanged(_, slot, before, after):
            name, data = b"slot-moved", msgspec.json.encode(SlotMoveAnswer(slot, before, after))
        case EventsLost(number):
            name, data = b"lost", msgspec.json.encode(LossAnswer(number))
        case _:
            return HEARTBEAT
    return b"event: " + name + b"\ndata: " + data + b"\n\n"
