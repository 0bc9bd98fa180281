"""Writes are sent on the connections of the session, with the same headers, and each once."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from statefulroute.cluster import client as client_module
from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import elapsed_seconds
from statefulroute.cluster.connection import connect
from statefulroute.cluster.errors import ConflictError, NotLeadingError, UnreachableError
from statefulroute.cluster.fence import Fence
from unit.cluster.fake_api import FakeAPI
from unit.cluster.kubeconfigs import write_kubeconfig

PATH = "/api/v1/things/a"


async def written(api: FakeAPI, client: Client) -> bytes:
    """Patches an object, and returns what the client receives."""
    task = asyncio.create_task(client.merge_patch(PATH, b"{}"))
    (await api.call()).respond(b"written")
    return await task


async def test_a_write_has_the_headers_of_a_request_of_the_session(api: FakeAPI, client: Client) -> None:
    dry_run = asyncio.create_task(client.dry_run().merge_patch(PATH, b"{}"))  # the session sends it
    by_session = await api.call()
    by_session.respond(b"")
    await dry_run
    write = asyncio.create_task(client.merge_patch(PATH, b"{}"))
    call = await api.call()
    call.respond(b"")
    await write
    assert dict(call.headers) == dict(by_session.headers)


async def test_no_session_sends_a_write(api: FakeAPI, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(aiohttp.ClientSession, "_request")
    assert await written(api, client) == b"written"


async def test_writes_use_a_connection_again(api: FakeAPI, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    await written(api, client)
    monkeypatch.delattr(aiohttp.TCPConnector, "_create_connection")
    await written(api, client)


async def test_an_error_leaves_the_connection_usable(
    api: FakeAPI, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = asyncio.create_task(client.merge_patch(PATH, b"{}"))
    (await api.call()).respond_error(409, "Conflict", "another client was faster")
    with pytest.raises(ConflictError, match="another client was faster"):
        await task
    monkeypatch.delattr(aiohttp.TCPConnector, "_create_connection")
    await written(api, client)


async def test_a_cancelled_write_closes_its_connection(api: FakeAPI, client: Client) -> None:
    task = asyncio.create_task(client.merge_patch(PATH, b"{}"))
    call = await api.call()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        while not call.is_disconnected:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)
    assert await written(api, client) == b"written"


async def test_a_write_without_a_response_in_time_is_unreachable(
    api: FakeAPI, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_REQUEST_TIMEOUT", aiohttp.ClientTimeout(total=0.25))
    task = asyncio.create_task(client.merge_patch(PATH, b"{}"))
    await api.call()
    with pytest.raises(UnreachableError, match=f"PATCH {PATH}: TimeoutError"):
        await task
    assert api.has_no_calls


async def test_a_redirected_write_is_sent_by_the_session(api: FakeAPI, client: Client) -> None:
    task = asyncio.create_task(client.merge_patch(PATH, b'{"b":1}'))
    for _ in range(2):
        (await api.call()).redirect("/there")
    call = await api.call()
    call.respond(b"written")
    assert (await task, call.method, call.path, call.body) == (b"written", "PATCH", "/there", b'{"b":1}')


async def test_a_path_that_has_to_be_quoted_is_one_path(api: FakeAPI, client: Client) -> None:
    path = "/api/v1/things/a HTTP/1.1\r\nX: y\r\n\r\nö"
    task = asyncio.create_task(client.post(path, b"{}"))
    call = await api.call()
    call.respond(b"")
    await task
    assert "X" not in call.headers
    assert call.path.startswith("/api/v1/things/a HTTP/1.1")


class Token:
    """Credentials whose header would be two."""

    async def authorization(self) -> str:
        return "Bearer a\r\nX: y"

    async def refresh(self) -> str:
        return await self.authorization()


async def test_a_token_of_several_lines_is_not_sent(api: FakeAPI, tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "kubeconfig", server=api.server)
    async with connect(path) as connection, Client(replace(connection, credentials=Token())) as client:
        with pytest.raises(ValueError, match="several lines"):
            await client.merge_patch(PATH, b"{}")
    assert api.has_no_calls


class EndOfTerm:
    """Credentials that are refreshed while the Lease is lost and acquired again."""

    def __init__(self, fence: Fence) -> None:
        self._fence = fence

    async def authorization(self) -> str:
        return "Bearer old"

    async def refresh(self) -> str:
        self._fence.close()
        assert self._fence.open_until(elapsed_seconds() + 60)
        return "Bearer new"


async def test_a_refused_write_is_not_sent_again_in_a_later_term(api: FakeAPI, tmp_path: Path) -> None:
    path, fence = write_kubeconfig(tmp_path / "kubeconfig", server=api.server), Fence()
    fence.open_until(elapsed_seconds() + 60)
    async with connect(path) as connection:
        fenced = replace(connection, credentials=EndOfTerm(fence), fence=fence)
        async with Client(fenced) as client:
            task = asyncio.create_task(client.merge_patch(PATH, b"{}"))
            (await api.call()).respond_error(401, "Unauthorized")
            with pytest.raises(NotLeadingError):
                await task
    assert api.has_no_calls


async def written_to(tmp_path: Path, response: bytes) -> bytes:
    """Patches an object of a server that responds with bytes and closes the connection."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(response)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", server=f"http://127.0.0.1:{port}")
        async with connect(kubeconfig) as connection, Client(connection) as client:
            return await client.merge_patch(PATH, b"{}")


async def test_an_interim_response_is_skipped(tmp_path: Path) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert await written_to(tmp_path, interim + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") == b"ok"


async def test_a_response_in_chunks_is_read_to_its_end(tmp_path: Path) -> None:
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3\r\n, 3\r\n0\r\n\r\n"
    assert await written_to(tmp_path, response) == b"ok, 3"


@pytest.mark.parametrize(
    "response",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", b"what?\r\n\r\n"],
    ids=["none", "half a header", "half a body", "another protocol"],
)
async def test_a_response_that_is_not_whole_is_unreachable(tmp_path: Path, response: bytes) -> None:
    with pytest.raises(UnreachableError, match=f"PATCH {PATH}: ."):
        await written_to(tmp_path, response)


async def test_what_a_server_sends_unasked_is_not_the_response_to_the_next_write(tmp_path: Path) -> None:
    connections, unasked = list[asyncio.StreamWriter](), b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstale"

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        with suppress(asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"{}")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwritten")
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", server=f"http://127.0.0.1:{port}")
        async with connect(kubeconfig) as connection, Client(connection) as client:
            assert await client.merge_patch(PATH, b"{}") == b"written"
            connections[0].write(unasked)
            await asyncio.sleep(0.05)
            with pytest.raises(UnreachableError, match="before the request was sent"):
                await client.merge_patch(PATH, b"{}")
            assert await client.merge_patch(PATH, b"{}") == b"written"
    assert len(connections) == 2
