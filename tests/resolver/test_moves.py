"""Tests the streams of moves."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from resolver.in_process import TIMEOUT_SECONDS, RunningResolver
from resolver.stub_service import StubService, in_thread
from statefulroute.domain.keys import RouteKey
from statefulroute.resolver.move_broadcaster import MoveBroadcaster
from statefulroute.rest.problems import ProblemError


class Stream:
    """Reads a stream of server-sent events."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self) -> tuple[str, dict[str, Any]] | None:
        """Returns the next event and its data, or None at the end."""
        kind = ""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while line := await self._response.content.readline():
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    kind = value
                elif field == "data":
                    return kind, json.loads(value)
        return None


@asynccontextmanager
async def open_stream(resolver: RunningResolver, stub_service: StubService) -> AsyncIterator[Stream]:
    """Opens the stream of a service's moves."""
    async with resolver.http.session.get(f"{resolver.http.base}{stub_service.path}/moves") as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
        assert (await response.content.readline()).startswith(b":")
        yield Stream(response)


def moved(uid: str, before: int | None, after: int | None) -> tuple[str, dict[str, Any]]:
    return "moved", {"uid": uid, "before": before, "after": after}


async def test_all_streams_get_bindings_moves_and_releases(
    resolver: RunningResolver, stub_service: StubService
) -> None:
    async with open_stream(resolver, stub_service) as one, open_stream(resolver, stub_service) as other:
        await in_thread(stub_service.link, "alice", 0)
        for stream in (one, other):
            assert await stream.next() == moved("alice", None, 0)
        await in_thread(stub_service.patch_link_status, "alice", 0, "game-0.game")  # not a move
        await in_thread(stub_service.move, "alice", 2)
        await in_thread(stub_service.unlink, "alice")
        for stream in (one, other):
            assert [await stream.next() for _ in range(2)] == [moved("alice", 0, 2), moved("alice", 2, None)]


async def test_stream_has_only_moves_of_its_service(resolver: RunningResolver, stub_service: StubService) -> None:
    other = StubService(stub_service.independent_client, stub_service.namespace, "chat")
    await in_thread(other.create, 0)
    async with open_stream(resolver, stub_service) as stream:
        await in_thread(other.link, "bob", 1)
        await in_thread(stub_service.link, "alice", 0)
        assert await stream.next() == moved("alice", None, 0)


async def test_stream_ends_when_the_resolver_stops(resolver: RunningResolver, stub_service: StubService) -> None:
    async with open_stream(resolver, stub_service) as stream:
        resolver.components.dispatcher.end_streams()
        assert await stream.next() is None


async def test_closed_stream_is_removed_before_the_next_heartbeat(
    resolver: RunningResolver, stub_service: StubService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statefulroute.resolver.http.streams.HEARTBEAT_SECONDS", 3600)
    metrics = resolver.components.metrics
    async with open_stream(resolver, stub_service):
        await resolver.wait_until(lambda: _streams(metrics.collectors) == 1, "one stream is open")
    await resolver.wait_until(lambda: _streams(metrics.collectors) == 0, "no stream is open")


def _streams(collectors: Any) -> float:
    families = [family for collector in collectors for family in collector.collect()]
    return next(family.samples[0].value for family in families if family.name == "statefulroute_resolver_streams")


async def test_number_of_streams_is_limited(resolver: RunningResolver, stub_service: StubService) -> None:
    moves = MoveBroadcaster(resolver.components.cache.links.cache, max_subscriptions=2)
    key = RouteKey(stub_service.namespace, "game")
    with (
        moves.subscribe(key),
        moves.subscribe(key),
        pytest.raises(ProblemError, match="there are 2 streams already: use another resolver"),
        moves.subscribe(key),
    ):
        pass
    with moves.subscribe(key):
        assert len(moves) == 1


async def test_number_of_streams_of_one_client_is_limited(resolver: RunningResolver, stub_service: StubService) -> None:
    moves = MoveBroadcaster(resolver.components.cache.links.cache, max_of_one_client=1)
    key = RouteKey(stub_service.namespace, "game")
    for _ in range(2):
        with (
            moves.subscribe(key, "one"),
            moves.subscribe(key, "other"),
            pytest.raises(ProblemError, match="one has 1 streams already"),
            moves.subscribe(RouteKey(stub_service.namespace, "chat"), "one"),
        ):
            pass


async def test_missing_service_has_no_stream(resolver: RunningResolver, stub_service: StubService) -> None:
    path = f"/v1/namespaces/{stub_service.namespace}/routes/chess/moves"
    assert (await resolver.http.get(path)).problem[:2] == (404, "route-not-found")
