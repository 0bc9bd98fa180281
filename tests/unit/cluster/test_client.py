"""The client sends and receives bytes, and raises a typed error for every failure."""

import asyncio
from importlib.metadata import version
from pathlib import Path

import aiohttp
import pytest

from statefulroute.cluster import client as client_module
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.errors import (
    APIError,
    ClusterError,
    ConflictError,
    GoneError,
    NotFoundError,
    UnreachableError,
)
from statefulroute.cluster.request_metrics import RequestRecord
from unit.cluster.fake_api import Call, FakeAPI, status_object
from unit.cluster.kubeconfigs import write_kubeconfig


async def started_get(api: FakeAPI, client: Client) -> tuple[Call, "asyncio.Task[bytes]"]:
    """Starts a GET and returns its call and task."""
    task = asyncio.create_task(client.get("/api/v1/pods", {"limit": "2"}))
    return await api.call(), task


def is_expiry_paused(client: Client) -> bool:
    """Returns whether the time by which links end stands still."""
    time = client.expiry_clock.interval()
    return time.earliest < time.latest


async def test_get_sends_the_path_the_parameters_and_the_user_agent(api: FakeAPI, client: Client) -> None:
    call, task = await started_get(api, client)
    assert (call.method, call.path, call.query) == ("GET", "/api/v1/pods", {"limit": "2"})
    assert call.headers["User-Agent"] == f"statefulroute/{version('statefulroute')}"
    assert "gzip" in call.headers["Accept-Encoding"]
    call.respond(b"the body")
    assert await task == b"the body"


async def test_merge_patch_returns_the_resulting_object(api: FakeAPI, client: Client) -> None:
    task = asyncio.create_task(client.merge_patch("/api/v1/pods/a", b'{"a":null}'))
    call = await api.call()
    assert (call.method, call.path, call.json) == ("PATCH", "/api/v1/pods/a", {"a": None})
    assert call.headers["Content-Type"] == "application/merge-patch+json"
    call.respond({"made": True})
    assert await task == b'{"made": true}'


@pytest.mark.parametrize(
    ("status", "error_type", "reason"),
    [
        (400, APIError, "BadRequest"),
        (401, APIError, "Unauthorized"),
        (403, APIError, "Forbidden"),
        (404, NotFoundError, "NotFound"),
        (409, ConflictError, "Conflict"),
        (410, GoneError, "Expired"),
        (422, APIError, "Invalid"),
        (429, APIError, "TooManyRequests"),
        (500, APIError, "InternalError"),
        (503, APIError, "ServiceUnavailable"),
    ],
)
async def test_an_error_response_raises_the_error_of_its_status_with_the_servers_message(
    api: FakeAPI, client: Client, status: int, error_type: type[APIError], reason: str
) -> None:
    call, task = await started_get(api, client)
    call.respond_error(status, reason, "the server's message")
    with pytest.raises(APIError) as raised:
        await task
    assert type(raised.value) is error_type
    assert (raised.value.status, raised.value.reason) == (status, reason)
    assert (raised.value.message, str(raised.value)) == (
        "the server's message",
        f"{status} {reason}: the server's message",
    )


@pytest.mark.parametrize(
    ("body", "error_type"), [("404 page not found\n", NotFoundError), ("<html>404 Not Found</html>", APIError)]
)
async def test_the_404_page_of_a_proxy_is_no_missing_object(
    api: FakeAPI, client: Client, body: str, error_type: type[APIError]
) -> None:
    call, task = await started_get(api, client)
    call.respond(body, 404, "text/html")
    with pytest.raises(APIError) as raised:
        await task
    assert (type(raised.value), raised.value.status) == (error_type, 404)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<html>Bad Gateway</html>", "502: <html>Bad Gateway</html>"),
        (b"\xff\xfe" + b"x" * 1000, "502: \ufffd\ufffd" + "x" * 198),
        ('{"message": "\\ud800"}', None),
        (b'{"message": "\xff"}', None),
        ('"a string"', '502: "a string"'),
        ('{"code": "many"}', '502: {"code": "many"}'),
        ("{}", "502: "),
        ("", "502: "),
    ],
)
async def test_an_error_page_of_a_proxy_raises_an_api_error(
    api: FakeAPI, client: Client, body: str | bytes, message: str | None
) -> None:
    call, task = await started_get(api, client)
    call.respond(body, 502, "text/html")
    with pytest.raises(APIError) as raised:
        await task
    assert raised.value.status == 502
    assert message is None or str(raised.value) == message


async def test_a_status_without_a_code_has_the_code_of_the_response(api: FakeAPI, client: Client) -> None:
    call, task = await started_get(api, client)
    call.respond(status_object(0, "Conflict", "another client was faster"), 409)
    with pytest.raises(ConflictError):
        await task


async def test_a_timeout_raises_unreachable(api: FakeAPI, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_REQUEST_TIMEOUT", aiohttp.ClientTimeout(total=0.25))
    call, task = await started_get(api, client)
    with pytest.raises(UnreachableError, match=r"GET /api/v1/pods: ."):
        await task
    assert not call.response.done()


async def get_and_respond(api: FakeAPI, client: Client) -> None:
    task = asyncio.create_task(client.get("/before"))
    (await api.call()).respond(b"{}")
    await task


async def test_a_connection_that_breaks_before_the_response_raises_unreachable(api: FakeAPI, client: Client) -> None:
    task = asyncio.create_task(client.merge_patch("/a", b"{}"))
    (await api.call()).disconnect()
    with pytest.raises(UnreachableError, match=r"PATCH /a: ."):
        await task


async def test_delete_is_not_repeated_without_a_response(api: FakeAPI, client: Client) -> None:
    await get_and_respond(api, client)  # keeps the connection open
    task = asyncio.create_task(client.delete("/a", b"{}"))
    (await api.call()).disconnect()
    with pytest.raises(UnreachableError):
        await task
    assert api.has_no_calls


async def test_get_is_repeated_once_without_a_response(api: FakeAPI, client: Client) -> None:
    task = asyncio.create_task(client.get("/a"))
    (await api.call()).disconnect()
    (await api.call()).respond(b"{}")
    assert await task == b"{}"


async def test_a_connection_that_breaks_within_the_response_raises_unreachable(api: FakeAPI, client: Client) -> None:
    call, task = await started_get(api, client)
    stream = await call.stream()
    await stream.write(b'{"items": [')
    stream.disconnect()
    with pytest.raises(UnreachableError):
        await task


async def test_a_closed_port_raises_unreachable(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:1")
    async with connect(path) as connection, Client(connection) as client:
        with pytest.raises(UnreachableError, match="GET /version: "):
            await client.get("/version")
        with pytest.raises(UnreachableError, match="GET /version: "):
            async with client.watch("/version", {}):
                pass


async def test_a_watch_yields_lines_as_they_arrive(api: FakeAPI, client: Client) -> None:
    lines: asyncio.Queue[bytes] = asyncio.Queue()

    async def watch() -> None:
        async with client.watch("/api/v1/pods", {"resourceVersion": "7"}) as events:
            async for line in events:
                lines.put_nowait(line)

    task = asyncio.create_task(watch())
    call = await api.call()
    assert call.query == {"resourceVersion": "7", "watch": "true"}
    stream = await call.stream()
    await stream.write(b"one\ntw")
    assert await lines.get() == b"one"
    assert lines.empty()
    await stream.write(b"o\n\nthree\nfour without its end")
    assert [await lines.get(), await lines.get()] == [b"two", b"three"]
    stream.end()
    await task
    assert lines.empty()


async def test_an_idle_watch_raises_unreachable(api: FakeAPI, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_WATCH_TIMEOUT", aiohttp.ClientTimeout(total=None, sock_read=0.25))

    async def watch() -> list[bytes]:
        async with client.watch("/api/v1/pods", {}) as events:
            return [line async for line in events]

    task = asyncio.create_task(watch())
    await (await api.call()).stream("a line")
    with pytest.raises(UnreachableError):
        await task


async def test_a_refused_watch_raises_the_error_of_its_status(api: FakeAPI, client: Client) -> None:
    async def watch() -> None:
        async with client.watch("/api/v1/pods", {}):
            pytest.fail("the watch was not raised")

    task = asyncio.create_task(watch())
    (await api.call()).respond_error(410, "Expired", "too old resource version")
    with pytest.raises(GoneError):
        await task


@pytest.mark.parametrize(("metadata", "token"), [({"continue": "rest"}, "rest"), ({}, ""), (None, "")])
async def test_an_expired_list_names_the_token_of_the_rest(
    api: FakeAPI, client: Client, metadata: object, token: str
) -> None:
    call, task = await started_get(api, client)
    call.respond({**status_object(410, "Expired", "too old"), "metadata": metadata}, 410)
    with pytest.raises(GoneError) as raised:
        await task
    assert raised.value.continue_token == token


async def test_the_number_of_requests_in_progress_is_limited(api: FakeAPI, tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "kubeconfig", api.server)
    async with connect(path) as connection, Client(connection, max_connections=2) as client:
        tasks = [asyncio.create_task(client.get("/version")) for _ in range(3)]
        calls = [await api.call(), await api.call()]
        await asyncio.sleep(0.02)
        assert api.has_no_calls
        calls[0].respond()
        (await api.call()).respond()
        calls[1].respond()
        assert await asyncio.gather(*tasks) == [b"", b"", b""]


async def test_request_that_its_caller_gives_up_is_recorded_unless_the_caller_leaves_at_once(
    api: FakeAPI, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    records: list[RequestRecord] = []
    observed = client.observed(records.append)
    client.expiry_clock.observe(200)
    for seconds, expected in ((3600.0, []), (0.0, [("create", "pods", None)])):
        monkeypatch.setattr(client_module, "_GIVEN_UP_SECONDS", seconds)
        task = asyncio.create_task(observed.post("/api/v1/pods", b"{}"))
        await api.call()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [record[:3] for record in records] == expected
        assert is_expiry_paused(client) == bool(expected), "links that could not be renewed do not end"


async def test_a_watch_does_not_wait_for_requests(api: FakeAPI, tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "kubeconfig", api.server)
    async with connect(path) as connection, Client(connection, max_connections=1) as client:
        task = asyncio.create_task(client.get("/version"))
        slow_call = await api.call()
        waiting = asyncio.create_task(client.get("/version"))
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(first_line(client))
            await (await api.call()).stream("a line")
            assert await watching == b"a line"
        slow_call.respond()
        (await api.call()).respond()
        await asyncio.gather(task, waiting)


async def first_line(client: Client) -> bytes:
    async with client.watch("/api/v1/pods", {}) as events:
        return await anext(events)


async def test_closed_client_says_so_and_is_not_taken_for_an_outage(api: FakeAPI, client: Client) -> None:
    _, task = await started_get(api, client)
    await client.__aexit__()
    with pytest.raises(ClusterError):
        await task
    for request in (client.get("/api/v1/pods"), client.merge_patch("/api/v1/pods/a", b"{}")):
        with pytest.raises(ClusterError, match="the client is closed") as raised:
            await request
        assert not isinstance(raised.value, UnreachableError)  # it would be retried
