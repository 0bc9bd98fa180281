"""The fence checks writes immediately before they are sent, and blocks late ones."""

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import elapsed_seconds
from statefulroute.cluster.connection import connect
from statefulroute.cluster.errors import NotLeadingError, UnreachableError
from statefulroute.cluster.fence import Fence
from unit.cluster.fake_api import TIMEOUT_SECONDS, FakeAPI
from unit.cluster.kubeconfigs import write_kubeconfig

Write = Callable[[Client], Awaitable[bytes]]

WRITES: dict[str, Write] = {
    "create": lambda client: client.post("/api/v1/things", b"{}"),
    "patch": lambda client: client.merge_patch("/api/v1/things/a", b"{}"),
    "delete": lambda client: client.delete("/api/v1/things/a", b"{}"),
    "dry run": lambda client: client.dry_run().merge_patch("/api/v1/things/a", b"{}"),
}

every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Fenced:
    """A connection to a fake API server whose writes a fence checks."""

    api: FakeAPI
    clock: Clock
    fence: Fence
    connection: Connection

    async def is_blocked(self, write: Awaitable[bytes]) -> bool:
        """Returns whether a write blocks while a read succeeds; cancels the write."""
        task = asyncio.ensure_future(write)
        async with Client(self.connection) as other:
            read = asyncio.create_task(other.get("/version"))
            call = await self.api.call()
            call.respond(b"read")
            assert (call.method, await read) == ("GET", b"read")
        is_blocked = self.api.has_no_calls and not task.done()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return is_blocked


@pytest.fixture
async def fenced(api: FakeAPI, tmp_path: Path) -> AsyncIterator[Fenced]:
    clock = Clock()
    fence = Fence(clock)
    async with connect(write_kubeconfig(tmp_path / "kubeconfig", server=api.server)) as connection:
        yield Fenced(api, clock, fence, connection.with_fence(fence))


@every_write
async def test_a_write_before_the_fence_was_open_raises_not_leading(fenced: Fenced, write: Write) -> None:
    async with Client(fenced.connection) as client:
        with pytest.raises(NotLeadingError, match=r"^nothing was written: this process does not hold the Lease$"):
            await write(client)
    assert fenced.api.has_no_calls


@every_write
async def test_writes_pass_while_the_fence_is_open_and_block_afterwards(fenced: Fenced, write: Write) -> None:
    assert fenced.fence.open_until(110.0)
    async with Client(fenced.connection) as client:
        fenced.clock.now = 109.9
        task = asyncio.ensure_future(write(client))
        (await fenced.api.call()).respond(b"written")
        assert await task == b"written"
        fenced.clock.now = 110.0
        assert await fenced.is_blocked(write(client))


@every_write
async def test_a_write_that_waits_after_the_time_fails_when_the_fence_is_closed(fenced: Fenced, write: Write) -> None:
    assert fenced.fence.open_until(110.0)
    async with Client(fenced.connection) as client:
        fenced.clock.now = 111.0
        task = asyncio.ensure_future(write(client))
        await asyncio.sleep(0.05)
        assert not task.done()
        fenced.fence.close()
        with pytest.raises(NotLeadingError, match=r"^nothing was written: this process holds the Lease no longer$"):
            await task
    assert fenced.api.has_no_calls


@every_write
async def test_writes_fail_after_the_fence_was_closed_and_pass_in_the_next_term(fenced: Fenced, write: Write) -> None:
    assert fenced.fence.open_until(110.0)
    fenced.fence.close()
    async with Client(fenced.connection) as client:
        with pytest.raises(NotLeadingError):
            await write(client)
        assert fenced.api.has_no_calls
        assert fenced.fence.open_until(120.0)
        task = asyncio.ensure_future(write(client))
        (await fenced.api.call()).respond(b"written")
        assert await task == b"written"


@every_write
async def test_a_write_of_an_earlier_term_is_never_sent(fenced: Fenced, write: Write) -> None:
    """It waits for a connection while the Lease is lost and acquired again."""
    assert fenced.fence.open_until(110.0)
    async with Client(fenced.connection, max_connections=1) as client:
        reading = asyncio.create_task(client.get("/version"))
        call = await fenced.api.call()
        writing = asyncio.ensure_future(write(client))
        await asyncio.sleep(0.05)
        fenced.fence.close()
        assert fenced.fence.open_until(120.0)
        call.respond(b"read")
        assert await reading == b"read"
        with pytest.raises(NotLeadingError):
            await writing
    assert fenced.api.has_no_calls


@every_write
async def test_a_write_without_an_answer_fails_at_once_when_the_fence_is_closed(fenced: Fenced, write: Write) -> None:
    assert fenced.fence.open_until(110.0)
    async with Client(fenced.connection) as client:
        writing, reading = asyncio.ensure_future(write(client)), asyncio.create_task(client.get("/version"))
        calls = [await fenced.api.call(), await fenced.api.call()]
        fenced.fence.close()
        with pytest.raises(UnreachableError):
            await writing
        for call in calls:
            if call.method == "GET":
                call.respond(b"read")
        assert await reading == b"read"


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize("new_event_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_data_that_the_operating_system_has_not_accepted_is_dropped_when_the_fence_is_closed(
    new_event_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """Otherwise the rest of a write could be sent when another process may already be the leader."""
    size = 2**24  # more than the buffers of two sockets
    with socket.create_server(("127.0.0.1", 0)) as listener, asyncio.Runner(loop_factory=new_event_loop) as runner:
        received = runner.run(_close_during_a_write(listener, size))
    assert 0 < received < size


async def _close_during_a_write(listener: socket.socket, size: int) -> int:
    """Returns how much of a write a server receives that reads only after the fence was closed."""
    fence = Fence()
    fence.open_until(elapsed_seconds() + 1000)
    connection = Connection(
        server=f"http://127.0.0.1:{listener.getsockname()[1]}", tls=ssl.create_default_context()
    ).with_fence(fence)
    async with Client(connection) as client:
        writing = asyncio.create_task(client.post("/api/v1/things", bytes(size)))
        accepted, _ = await asyncio.to_thread(listener.accept)
        await asyncio.sleep(0.1)
        fence.close()
        with pytest.raises(UnreachableError):
            await writing
        with accepted:
            return await asyncio.to_thread(_count_bytes, accepted)


def _count_bytes(connection: socket.socket) -> int:
    count = 0
    with suppress(ConnectionResetError):
        while data := connection.recv(2**20):
            count += len(data)
    return count


async def test_a_write_that_waits_for_a_connection_is_checked_when_it_has_one(fenced: Fenced) -> None:
    assert fenced.fence.open_until(110.0)
    async with Client(fenced.connection, max_connections=1) as client:
        reading = asyncio.create_task(client.get("/version"))
        call = await fenced.api.call()
        writing = asyncio.ensure_future(client.merge_patch("/api/v1/things/a", b"{}"))
        await asyncio.sleep(0)
        fenced.clock.now = 111.0
        call.respond(b"read")
        assert await reading == b"read"
        assert await fenced.is_blocked(writing)


async def test_a_write_is_checked_again_between_its_headers_and_its_body(fenced: Fenced) -> None:
    """Some Python versions write the body in a separate task; no data of the request is sent until then."""
    times = iter([100.0, 100.0, 111.0, 111.0])
    fence = Fence(lambda: next(times))
    assert fence.open_until(110.0)
    async with fenced.connection.with_fence(fence).session(2) as session:
        assert await fenced.is_blocked(_text(session.patch(f"{fenced.api.server}/a", json={"b": 1})))
    assert list(times) == [111.0]


async def test_a_redirected_write_is_checked_again(fenced: Fenced) -> None:
    assert fenced.fence.open_until(110.0)
    async with fenced.connection.session(2) as session:
        writing = asyncio.ensure_future(_text(session.patch(f"{fenced.api.server}/here", json={})))
        call = await fenced.api.call()
        fenced.clock.now = 111.0
        call.redirect("/there")
        assert await fenced.is_blocked(writing)


async def test_a_session_of_a_library_is_fenced(fenced: Fenced) -> None:
    async with fenced.connection.session(2) as session:
        assert fenced.fence.open_until(110.0)
        writing = asyncio.ensure_future(_text(session.patch(f"{fenced.api.server}/a", json={"b": 1})))
        call = await fenced.api.call()
        assert json.loads(call.body) == {"b": 1}
        call.respond(b"written")
        assert await writing == b"written"
        fenced.clock.now = 111.0
        assert await fenced.is_blocked(_text(session.patch(f"{fenced.api.server}/a", json={"b": 1})))
        assert await fenced.is_blocked(_text(session.delete(f"{fenced.api.server}/a")))


async def test_a_connection_without_a_fence_allows_all_writes(fenced: Fenced) -> None:
    async with Client(fenced.connection.with_fence(None)) as client:
        task = asyncio.create_task(client.merge_patch("/api/v1/things/a", b"{}"))
        (await fenced.api.call()).respond(b"written")
        assert await task == b"written"


def test_an_open_fence_can_be_extended_and_an_expired_one_cannot() -> None:
    clock = Clock()
    fence = Fence(clock)
    assert fence.open_until(110.0)
    clock.now = 109.0
    assert fence.open_until(119.0)
    assert fence.seconds_left == 10.0
    clock.now = 119.0
    assert not fence.open_until(129.0)
    clock.now = 118.0  # even if the clock goes back
    assert fence.seconds_left < 0
    assert not fence.open_until(129.0)


def test_an_expired_fence_can_be_opened_again_after_it_was_closed() -> None:
    clock = Clock()
    fence = Fence(clock)
    assert fence.open_until(110.0)
    clock.now = 111.0
    assert not fence.open_until(120.0)
    fence.close()
    assert fence.seconds_left < 0
    assert fence.open_until(120.0)
    assert fence.seconds_left == 9.0


def test_closing_a_fence_that_was_never_open_changes_nothing() -> None:
    fence = Fence(Clock())
    fence.close()
    assert fence.seconds_left < 0
    assert fence.open_until(110.0)


def test_a_time_in_the_past_does_not_open_the_fence() -> None:
    clock = Clock()
    fence = Fence(clock)
    assert not fence.open_until(99.0)
    assert fence.seconds_left < 0
    assert fence.open_until(110.0)


def test_the_default_clock_is_monotonic() -> None:
    assert 0 < elapsed_seconds() <= elapsed_seconds()


@pytest.mark.parametrize("new_event_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_an_admitted_write_reaches_the_operating_system_before_the_process_can_block(
    new_event_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """A loop that buffered the write would send it after a pause, when another process may already be the leader."""
    with threaded_server() as (server, has_received), asyncio.Runner(loop_factory=new_event_loop) as runner:
        assert runner.run(_write_and_block(server, has_received)) == [True, True, True]


async def _write_and_block(server: str, has_received: threading.Event) -> list[bool]:
    results: list[bool] = []
    fence = Fence()
    fence.open_until(elapsed_seconds() + 1000)

    class BlockedRequest(fence.request_class()):  # type: ignore[misc] # a class created at run time
        async def write_bytes(self, *parts: Any) -> None:
            has_received.clear()
            await super().write_bytes(*parts)
            results.append(has_received.wait(TIMEOUT_SECONDS))  # blocks the event loop

    async with aiohttp.ClientSession(request_class=BlockedRequest) as session:
        for _ in range(3):
            await _text(session.patch(server, json={}))
    return results


@contextmanager
def threaded_server() -> Iterator[tuple[str, threading.Event]]:
    """Runs a server in a thread, which sets an event when data arrives, and responds."""
    has_received = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while connection.recv(65536):
                has_received.set()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/", has_received
        thread.join()


async def _text(request: Any) -> bytes:
    async with request as response:
        return bytes(await response.read())
