"""What kopf is told of errors that answer its list and its watch of routes."""

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
    """What kopf works with; it does not wait before it asks again."""
    monkeypatch.setattr(kopf_session, "_PAUSE_SECONDS", 0.0)
    connection = Connection(server=api.server, tls=ssl.create_default_context())
    made = await kopf_session.login_with(connection, 4, lambda _: None)()
    async with made.aiohttp_session as opened:
        yield opened


async def answer(api: FakeAPI, session: aiohttp.ClientSession, path: str, status: int) -> tuple[int, bytes]:
    """What kopf gets when the API server answers with a status."""

    async def ask() -> tuple[int, bytes]:
        async with session.get(api.server + path) as response:
            return response.status, b"".join([each async for each in response.content.iter_chunked(2**20)])

    asked = asyncio.create_task(ask())
    (await api.call()).respond_error(status, "Reason", "message")
    return await asked


@pytest.mark.parametrize("status", [403, 404, 410, 429, 500, 504])
async def test_a_watch_that_is_answered_with_an_error_tells_that_its_version_is_too_old(
    api: FakeAPI, session: aiohttp.ClientSession, status: int
) -> None:
    assert await answer(api, session, WATCH, status) == (200, TOO_OLD)


@pytest.mark.parametrize("status", [403, 404, 410, 429, 500, 504])
async def test_a_list_that_is_answered_with_an_error_has_broken_off(
    api: FakeAPI, session: aiohttp.ClientSession, status: int
) -> None:
    with pytest.raises(aiohttp.ClientPayloadError, match=str(status)):
        await answer(api, session, ROUTES, status)


@pytest.mark.parametrize(("path", "status"), [(WATCH, 401), (ROUTES, 401), ("/apis/statefulroute.io/v1alpha1", 404)])
async def test_kopf_itself_judges_all_other_answers(
    api: FakeAPI, session: aiohttp.ClientSession, path: str, status: int
) -> None:
    assert (await answer(api, session, path, status))[0] == status


async def test_events_are_passed_on_as_they_come(api: FakeAPI, session: aiohttp.ClientSession) -> None:
    asked = asyncio.create_task(session.get(api.server + WATCH))
    stream = await (await api.call()).stream({"type": "ADDED"})
    async with await asked as response:
        assert await response.content.readline() == b'{"type": "ADDED"}\n'
        await stream.send({"type": "MODIFIED"})
        assert await response.content.readline() == b'{"type": "MODIFIED"}\n'
        stream.end()
