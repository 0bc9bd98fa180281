"""What kopf receives in place of errors of its list and its watch of routes."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from statefulroute.api.group import FINALIZER
from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.fence import Fence
from statefulroute.controllers.routes import session as kopf_session
from statefulroute.controllers.routes import unhandled
from unit.cluster.fake_api import FakeAPI, Stream, run_fake_api, status_object

ROUTES = "/apis/statefulroute.io/v1alpha1/statefulroutes"
WATCH = f"{ROUTES}?watch=true&resourceVersion=7"
TOO_OLD = b'{"type":"ERROR","object":{"kind":"Status","code":410}}\n'


@pytest.fixture
async def api() -> AsyncIterator[FakeAPI]:
    async with run_fake_api() as made:
        yield made


@pytest.fixture
async def session(api: FakeAPI, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[aiohttp.ClientSession]:
    """The session of kopf; it does not wait before the next request."""
    monkeypatch.setattr(kopf_session, "_PAUSE_SECONDS", 0.0)
    connection = Connection(server=api.server, tls=ssl.create_default_context())
    made = await kopf_session.login_with(connection, 4, lambda _: None)()
    async with made.aiohttp_session as opened:
        yield opened


async def get_after_error(api: FakeAPI, session: aiohttp.ClientSession, path: str, status: int) -> tuple[int, bytes]:
    """Returns what kopf receives when the API server responds with an error."""

    async def get() -> tuple[int, bytes]:
        async with session.get(api.server + path) as response:
            return response.status, b"".join([chunk async for chunk in response.content.iter_chunked(2**20)])

    request = asyncio.create_task(get())
    (await api.call()).respond_error(status, "Reason", "message")
    return await request


@pytest.mark.parametrize("status", [403, 404, 410, 429, 500, 504])
async def test_error_response_to_a_watch_becomes_an_event_of_an_expired_version(
    api: FakeAPI, session: aiohttp.ClientSession, status: int
) -> None:
    assert await get_after_error(api, session, WATCH, status) == (200, TOO_OLD)


@pytest.mark.parametrize("status", [403, 404, 410, 429, 500, 504])
async def test_error_response_to_a_list_becomes_a_broken_connection(
    api: FakeAPI, session: aiohttp.ClientSession, status: int
) -> None:
    with pytest.raises(aiohttp.ClientPayloadError, match=str(status)):
        await get_after_error(api, session, ROUTES, status)


@pytest.mark.parametrize(("path", "status"), [(WATCH, 401), (ROUTES, 401), ("/apis/statefulroute.io/v1alpha1", 404)])
async def test_all_other_responses_are_passed_to_kopf(
    api: FakeAPI, session: aiohttp.ClientSession, path: str, status: int
) -> None:
    assert (await get_after_error(api, session, path, status))[0] == status


def route(name: str, *, handled: bool) -> dict[str, Any]:
    """A route, with an annotation that makes it large."""
    metadata = {"namespace": "games", "name": name, "generation": 1, "finalizers": [FINALIZER]}
    metadata["annotations"] = {"example.com/large": 10_000 * "x"}
    return {"metadata": metadata, "spec": {}, "status": {"observedGeneration": 1} if handled else {}}


async def test_kopf_receives_only_the_routes_of_a_list_that_it_has_to_handle(
    api: FakeAPI, session: aiohttp.ClientSession
) -> None:
    request = asyncio.create_task(session.get(f"{api.server}{ROUTES}?limit=500"))
    items = [route(f"game-{number}", handled=number >= 20) for number in range(100)]
    (await api.call()).respond(
        {"kind": "List", "metadata": {"resourceVersion": "7", "continue": "token"}, "items": items}
    )
    async with await request as response:
        received = await response.json()
    assert received == {
        "kind": "List",
        "metadata": {"resourceVersion": "7", "continue": "token"},
        "items": items[:20],
    }


@pytest.mark.parametrize("namespace", ["games", "statefulroutes", "statefulroutes-of-games"])
@pytest.mark.parametrize("patched", ["game/status", "statefulroutes", "statefulroutes/status", "status/status"])
async def test_route_that_kopf_has_patched_leaves_its_place_to_another(
    api: FakeAPI, session: aiohttp.ClientSession, namespace: str, patched: str
) -> None:
    item = {"metadata": {"namespace": namespace, "name": patched.partition("/")[0], "generation": 1}}
    path = f"{ROUTES.rpartition('/')[0]}/namespaces/{namespace}/statefulroutes"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(unhandled, "_MAX_IN_PROGRESS", 1)
        async with asyncio.timeout(5):
            for method, target in (("GET", path), ("PATCH", f"{path}/{patched}"), ("GET", path)):
                request = asyncio.create_task(session.request(method, api.server + target))
                (await api.call()).respond({"metadata": {}, "items": [item]})
                (await request).release()


async def test_kopf_receives_no_change_of_a_route_that_is_handled(api: FakeAPI, session: aiohttp.ClientSession) -> None:
    async with watching(api, session) as (stream, received):
        changes = [route("chat", handled=True), route("game", handled=False), route("game", handled=True)]
        events = [{"type": "MODIFIED", "object": each} for each in (*changes, changes[-1])]
        deleted = {"type": "DELETED", "object": changes[0]}
        await stream.send(*events, deleted)
        assert [json.loads(await anext(received)) for _ in range(3)] == [*events[1:3], deleted]


@asynccontextmanager
async def watching(api: FakeAPI, session: aiohttp.ClientSession) -> AsyncIterator[tuple[Stream, AsyncIterator[bytes]]]:
    """Yields the API server's side of a watch, and the data that kopf receives."""
    request = asyncio.create_task(session.get(api.server + WATCH))
    stream = await (await api.call()).stream()
    async with await request as response:
        yield stream, response.content.iter_chunked(2**20)


async def test_events_are_passed_to_kopf_as_they_arrive(api: FakeAPI, session: aiohttp.ClientSession) -> None:
    async with watching(api, session) as (stream, received):
        for change in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
            event = {"type": change, "object": {"metadata": {"resourceVersion": "8"}}}
            await stream.send(event)
            assert json.loads(await anext(received)) == event
        stream.end()
        assert [data async for data in received] == []


async def test_an_event_that_arrives_in_pieces_is_passed_as_a_whole(
    api: FakeAPI, session: aiohttp.ClientSession
) -> None:
    line = b'{"type": "ADDED", "object": {"metadata": {"name": "game"}}}\n'
    async with watching(api, session) as (stream, received):
        await stream.write(line[:20])
        await stream.write(line[20:] + line[:20])
        assert await anext(received) == line
        stream.disconnect()
        with pytest.raises(aiohttp.ClientPayloadError):
            await anext(received)


async def test_an_incomplete_event_at_the_end_is_dropped(api: FakeAPI, session: aiohttp.ClientSession) -> None:
    async with watching(api, session) as (stream, received):
        await stream.write(b'{"type": "ADDED", "object": {')
        stream.end()
        assert [data async for data in received] == []


@pytest.mark.parametrize(
    "failure",
    [
        *({"type": "ERROR", "object": status_object(code, "Reason", "message")} for code in (400, 403, 410, 429, 500)),
        {"type": "ERROR", "object": "data"},
        {"type": "ADDED", "object": {"metadata": None}},
        {"type": "ADDED", "object": {}},
        {"object": {"metadata": {}}},
        b"<html>a proxy</html>",
        b"\xff",
    ],
    ids=str,
)
async def test_any_error_within_a_watch_becomes_an_event_of_an_expired_version(
    api: FakeAPI, session: aiohttp.ClientSession, failure: object
) -> None:
    async with watching(api, session) as (stream, received):
        await stream.send(failure, {"type": "ADDED", "object": {"metadata": {}}})
        assert [data async for data in received] == [TOO_OLD]


async def test_an_error_within_a_watch_is_logged_unless_its_version_is_too_old(
    api: FakeAPI, session: aiohttp.ClientSession
) -> None:
    with capture_logs() as logs:
        for code in (410, 500):
            async with watching(api, session) as (stream, received):
                await stream.send({"type": "ERROR", "object": status_object(code, "Reason", "message")})
                await anext(received)
    assert [(line["log_level"], line["error"]) for line in logs] == [("warning", "500 Reason: message")]


@asynccontextmanager
async def leading_session(api: FakeAPI) -> AsyncIterator[tuple[aiohttp.ClientSession, Fence]]:
    """Opens the session of an operator that leads, with its fence."""
    fence = Fence(lambda: 0.0)
    assert fence.open_until(1.0)
    connection = Connection(server=api.server, tls=ssl.create_default_context()).with_fence(fence)
    made = await kopf_session.login_with(connection, 4, lambda _: None)()
    async with made.aiohttp_session as session:
        yield session, fence


async def test_write_that_fails_after_the_lease_was_lost_is_held_until_kopf_stops(api: FakeAPI) -> None:
    async with leading_session(api) as (session, fence):

        async def write() -> None:
            await session.patch(f"{api.server}{ROUTES}/game", json={})

        unanswered = asyncio.create_task(write())
        await api.call()
        fence.close()
        _, pending = await asyncio.wait({unanswered, asyncio.create_task(write())}, timeout=0.1)
        assert len(pending) == 2
        assert api.has_no_calls
        for task in pending:
            task.cancel()
        await asyncio.wait(pending)


async def test_write_that_fails_while_this_operator_leads_is_left_to_kopf(api: FakeAPI) -> None:
    async with leading_session(api) as (session, _):
        writing = asyncio.create_task(session.patch(f"{api.server}{ROUTES}/game", json={}))
        (await api.call()).disconnect()
        with pytest.raises(aiohttp.ClientConnectionError):
            await writing


@pytest.mark.parametrize(
    ("status", "header", "paused"),
    [
        (429, "4", 4.0),
        (503, "4", 4.0),
        (429, "31536000", 32.0),
        (429, "Sat, 28 Nov 2026 02:00:00 GMT", 0.0),
        (429, "soon", 0.0),
        (404, "4", 0.0),
    ],
)
async def test_kopf_waits_for_as_long_as_a_response_asks_within_a_bound(
    api: FakeAPI, session: aiohttp.ClientSession, status: int, header: str, paused: float
) -> None:
    pauses: list[float] = []

    async def skip(seconds: float) -> None:
        pauses.append(seconds)

    async def patch() -> tuple[str, bytes]:
        async with session.patch(f"{api.server}{ROUTES}/a/status", data=b"{}") as response:
            assert response.status == status
            return response.headers.get("Retry-After", ""), await response.read()

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(kopf_session.asyncio, "sleep", skip)
        request = asyncio.create_task(patch())
        (await api.call()).respond_error(status, "Reason", "later", retry_after=header)
        left, body = await request
    assert b"later" in body
    assert left == ("0" if status == 429 else header), "kopf itself does not wait, and reads a number"
    assert sum(pauses) == pytest.approx(paused * 1.125, abs=paused * 0.126)
