"""What kopf receives in place of error responses to its list and its watch of routes."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest

from statefulroute.cluster.api_server import Connection
from statefulroute.controllers.routes import session as kopf_session
from unit.cluster.fake_api import FakeAPI, run_fake_api

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


async def test_events_are_passed_to_kopf_as_they_arrive(api: FakeAPI, session: aiohttp.ClientSession) -> None:
    request = asyncio.create_task(session.get(api.server + WATCH))
    stream = await (await api.call()).stream({"type": "ADDED"})
    async with await request as response:
        assert await response.content.readline() == b'{"type": "ADDED"}\n'
        await stream.send({"type": "MODIFIED"})
        assert await response.content.readline() == b'{"type": "MODIFIED"}\n'
        stream.end()
