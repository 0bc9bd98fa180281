"""What a browser receives while a page is open."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from statefulroute.console.server import ConsoleServer
from statefulroute.console.watcher import Watcher
from support.console import console_server, link_state, route_record, synced_watcher


@pytest.fixture
def watcher() -> Watcher:
    watcher = synced_watcher()
    watcher.route_cache.put(route_record())
    watcher.link_cache.put(link_state("alice"))
    return watcher


@pytest_asyncio.fixture
async def server(watcher: Watcher) -> ConsoleServer:
    return console_server(watcher)


@pytest_asyncio.fixture
async def client(server: ConsoleServer) -> AsyncIterator[TestClient]:
    async with TestClient(TestServer(server.application())) as client:
        yield client


async def next_event(response: ClientResponse, kind: str) -> object:
    """Returns the data of the next event of a kind."""
    event = b""
    async for line in response.content:
        if line.startswith(b"event: "):
            event = line.removeprefix(b"event: ").strip()
        elif line.startswith(b"data: ") and event == kind.encode():
            return json.loads(line.removeprefix(b"data: "))
    raise AssertionError("the stream has ended")


async def test_a_move_arrives_as_a_change_and_in_the_next_snapshot(
    client: TestClient, server: ConsoleServer, watcher: Watcher
) -> None:
    async with client.get(f"/{server.access.token}/api/routes/play/game/stream") as response:
        assert response.content_type == "text/event-stream"
        first = await next_event(response, "snapshot")
        watcher.link_cache.put(link_state("alice", 1, version=2, previous=0, previous_reason="PodLost"))
        (change,) = await next_event(response, "changes")  # type: ignore[misc] # JSON
        second = await next_event(response, "snapshot")
    assert [pod["links"] for pod in first["pods"]] == [1]  # type: ignore[index] # JSON
    assert (change["kind"], change["change"]["before"], change["change"]["after"]) == ("moved", "#0", "#1")
    assert [(pod["key"], pod["links"]) for pod in second["pods"]] == [(1, 1)]  # type: ignore[index] # JSON


async def test_a_route_that_is_deleted_is_absent(client: TestClient, server: ConsoleServer, watcher: Watcher) -> None:
    async with client.get(f"/{server.access.token}/api/routes/play/game/stream") as response:
        await next_event(response, "snapshot")
        watcher.route_cache.delete("play", "game", 9)
        assert "card" not in await next_event(response, "snapshot")  # type: ignore[operator] # JSON


async def test_a_route_is_not_missing_before_all_routes_are_listed(
    client: TestClient, server: ConsoleServer, watcher: Watcher
) -> None:
    path = f"/{server.access.token}/api/routes/play/late"
    watcher.reflectors[0].synced.clear()
    response = await client.get(path)
    assert (response.status, (await response.json())["message"]) == (503, "the routes have not been read yet")
    async with client.get(f"{path}/stream") as stream:
        page = await next_event(stream, "snapshot")
        assert page["connection"]["isSynced"] is False  # type: ignore[index] # JSON
        watcher.reflectors[0].synced.set()
        page = await next_event(stream, "snapshot")
        assert page["connection"]["isSynced"] is True  # type: ignore[index] # JSON
    assert (await client.get(path)).status == 404


async def test_too_many_pages_are_refused(client: TestClient, server: ConsoleServer) -> None:
    path = f"/{server.access.token}/api/stream"
    streams = [await client.get(path) for _ in range(32)]
    message = "32 pages of this console are visible, and more are not updated: close some of them"
    health = f"/{server.access.token}/api/health"  # by which the page finds out why it has no stream
    for refused in (path, health):
        response = await client.get(refused)
        assert (response.status, await response.json()) == (503, {"message": message})
    for stream in streams:
        stream.close()


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("api/routes?limit=x", 400, "limit must be a number of at most 200"),
        ("api/routes?limit=201", 400, "limit must be a number of at most 200"),
        ("api/routes?offset=-1", 400, "offset must be a number of at most 2147483647"),
        ("api/routes/play/game/links?podIndex=two", 400, "podIndex must be a number of at most 2147483647"),
        ("api/routes/play/other", 404, "the route does not exist"),
        ("api/routes/..%2f..%2fnodes/game/events", 404, "the route does not exist"),
        ("api/routes/play/game%3fx/rights", 404, "the route does not exist"),
        ("api/nothing", 404, "there is no such path"),
    ],
)
async def test_names_what_is_wrong_with_a_request(
    client: TestClient, server: ConsoleServer, path: str, status: int, message: str
) -> None:
    response = await client.get(f"/{server.access.token}/{path}")
    assert (response.status, await response.json()) == (status, {"message": message})
