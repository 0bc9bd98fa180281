"""Every move is told to whoever listens, as it comes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from resolver.place import Place, in_thread
from resolver.running import PATIENCE_SECONDS, Running
from statefulroute.domain.keys import RouteKey
from statefulroute.resolver.moves import Moves
from statefulroute.resolver.problems import ProblemError


class Stream:
    """A stream of events, read one by one."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self) -> tuple[str, dict[str, Any]] | None:
        """The next event and its data; None at the end."""
        kind = ""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while line := await self._response.content.readline():
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    kind = value
                elif field == "data":
                    return kind, json.loads(value)
        return None


@asynccontextmanager
async def listening(resolver: Running, place: Place) -> AsyncIterator[Stream]:
    """Listen to the moves of a service."""
    async with resolver.asker.session.get(f"{resolver.asker.base}{place.path}/moves") as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
        assert (await response.content.readline()).startswith(b":")
        yield Stream(response)


def moved(uid: str, before: int | None, after: int | None) -> tuple[str, dict[str, Any]]:
    return "moved", {"uid": uid, "before": before, "after": after}


async def test_a_binding_a_move_and_a_release_are_told_to_all_who_listen(resolver: Running, place: Place) -> None:
    async with listening(resolver, place) as one, listening(resolver, place) as other:
        await in_thread(place.link, "alice", 0)
        for stream in (one, other):
            assert await stream.next() == moved("alice", None, 0)
        await in_thread(place.acknowledge, "alice", 0, "game-0.game")  # moves nobody
        await in_thread(place.move, "alice", 2)
        await in_thread(place.unlink, "alice")
        for stream in (one, other):
            assert [await stream.next() for _ in range(2)] == [moved("alice", 0, 2), moved("alice", 2, None)]


async def test_another_service_is_not_told_of(resolver: Running, place: Place) -> None:
    other = Place(place.witness, place.namespace, "chat")
    await in_thread(other.make, 0)
    async with listening(resolver, place) as stream:
        await in_thread(other.link, "bob", 1)
        await in_thread(place.link, "alice", 0)
        assert await stream.next() == moved("alice", None, 0)


async def test_a_stream_ends_with_the_resolver(resolver: Running, place: Place) -> None:
    async with listening(resolver, place) as stream:
        resolver.parts.dispatcher.end()
        assert await stream.next() is None


async def test_who_has_gone_is_forgotten(resolver: Running, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statefulroute.resolver.http.streams._HEARTBEAT_SECONDS", 0.02)
    metrics = resolver.parts.metrics
    async with listening(resolver, place):
        await resolver.knows(lambda: _streams(metrics.collectors) == 1, "one listens")
    await resolver.knows(lambda: _streams(metrics.collectors) == 0, "nobody listens")


def _streams(collectors: Any) -> float:
    families = [family for collector in collectors for family in collector.collect()]
    return next(each.samples[0].value for each in families if each.name == "statefulroute_resolver_streams")


async def test_only_so_many_may_listen(resolver: Running, place: Place) -> None:
    moves = Moves(resolver.parts.directory.links.cache, max_listeners=2)
    key = RouteKey(place.namespace, "game")
    with (
        moves.listening(key),
        moves.listening(key),
        pytest.raises(ProblemError, match="2 listen already: ask another resolver"),
        moves.listening(key),
    ):
        pass
    with moves.listening(key):
        assert len(moves) == 1


async def test_the_moves_of_a_service_that_there_is_not_are_not_told(resolver: Running, place: Place) -> None:
    path = f"/v1/namespaces/{place.namespace}/routes/chess/moves"
    assert (await resolver.asker.get(path)).problem[:2] == (404, "route-not-found")
