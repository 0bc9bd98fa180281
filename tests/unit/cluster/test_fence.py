"""The fence: what is written passes it at the last moment, or never goes out."""

import asyncio
import json
import socket
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
from statefulroute.cluster.errors import NotLeadingError
from statefulroute.cluster.fence import Fence
from unit.cluster.fake_api import TIMEOUT_SECONDS, FakeAPI
from unit.cluster.kubeconfigs import write_kubeconfig

Write = Callable[[Client], Awaitable[bytes]]

WRITES: dict[str, Write] = {
    "create": lambda client: client.post("/api/v1/things", b"{}"),
    "patch": lambda client: client.merge_patch("/api/v1/things/a", b"{}"),
    "delete": lambda client: client.delete("/api/v1/things/a", b"{}"),
    "rehearsal": lambda client: client.dry_run().merge_patch("/api/v1/things/a", b"{}"),
}

every_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Fenced:
    """A client of a fake API server whose writes have to pass a fence."""

    api: FakeAPI
    clock: Clock
    fence: Fence
    connection: Connection

    async def is_held(self, write: Awaitable[bytes]) -> bool:
        """Whether a write goes nowhere while a read goes through; it is given up at the end."""
        task = asyncio.ensure_future(write)
        async with Client(self.connection) as other:
            read = asyncio.create_task(other.get("/version"))
            call = await self.api.call()
            call.respond(b"read")
            assert (call.method, await read) == ("GET", b"read")
        held = self.api.has_no_calls and not task.done()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return held


@pytest.fixture
async def fenced(api: FakeAPI, tmp_path: Path) -> AsyncIterator[Fenced]:
    clock = Clock()
    fence = Fence(clock)
    async with connect(write_kubeconfig(tmp_path / "kubeconfig", server=api.server)) as connection:
        yield Fenced(api, clock, fence, connection.with_fence(fence))


@every_write
async def test_before_the_fence_was_ever_open_nothing_is_written_and_the_writer_is_told(
    fenced: Fenced, write: Write
) -> None:
    async with Client(fenced.connection) as client:
        with pytest.raises(NotLeadingError, match=r"^nothing was written: this process does not hold the Lease$"):
            await write(client)
    assert fenced.api.has_no_calls


@every_write
async def test_writes_pass_while_it_is_open_and_wait_for_ever_afterwards(fenced: Fenced, write: Write) -> None:
    assert fenced.fence.open_until(110.0)
    async with Client(fenced.connection) as client:
        fenced.clock.now = 109.9
        task = asyncio.ensure_future(write(client))
        (await fenced.api.call()).respond(b"written")
        assert await task == b"written"
        fenced.clock.now = 110.0
        assert await fenced.is_held(write(client))


@every_write
async def test_one_that_was_shut_by_hand_holds_writes(fenced: Fenced, write: Write) -> None:
    assert fenced.fence.open_until(110.0)
    fenced.fence.close()
    async with Client(fenced.connection) as client:
        assert await fenced.is_held(write(client))


async def test_a_write_that_waits_for_a_connection_is_judged_when_it_has_one(fenced: Fenced) -> None:
    assert fenced.fence.open_until(110.0)
    async with Client(fenced.connection, max_connections=1) as client:
        reading = asyncio.create_task(client.get("/version"))
        call = await fenced.api.call()
        writing = asyncio.ensure_future(client.merge_patch("/api/v1/things/a", b"{}"))
        await asyncio.sleep(0)
        fenced.clock.now = 111.0
        call.respond(b"read")
        assert await reading == b"read"
        assert await fenced.is_held(writing)


async def test_what_happens_between_the_head_and_the_body_of_a_write_counts(fenced: Fenced) -> None:
    """Some Pythons write the body in a task of its own: until then nothing of the request has been sent."""
    asked = iter([100.0, 111.0, 111.0])
    fence = Fence(lambda: next(asked))
    fence._until = 110.0  # noqa: SLF001 - without asking the clock
    async with Client(fenced.connection.with_fence(fence)) as client:
        assert await fenced.is_held(client.merge_patch("/api/v1/things/a", b"{}"))
    assert list(asked) == [111.0]


async def test_a_write_that_is_sent_elsewhere_by_a_redirect_is_judged_anew(fenced: Fenced) -> None:
    assert fenced.fence.open_until(110.0)
    async with fenced.connection.session(2) as session:
        writing = asyncio.ensure_future(_text(session.patch(f"{fenced.api.server}/here", json={})))
        call = await fenced.api.call()
        fenced.clock.now = 111.0
        call.redirect("/there")
        assert await fenced.is_held(writing)


async def test_a_session_that_others_use_is_fenced_as_well(fenced: Fenced) -> None:
    async with fenced.connection.session(2) as session:
        assert fenced.fence.open_until(110.0)
        writing = asyncio.ensure_future(_text(session.patch(f"{fenced.api.server}/a", json={"b": 1})))
        call = await fenced.api.call()
        assert json.loads(call.body) == {"b": 1}
        call.respond(b"written")
        assert await writing == b"written"
        fenced.clock.now = 111.0
        assert await fenced.is_held(_text(session.patch(f"{fenced.api.server}/a", json={"b": 1})))
        assert await fenced.is_held(_text(session.delete(f"{fenced.api.server}/a")))


async def test_a_connection_without_a_fence_writes_as_it_likes(fenced: Fenced) -> None:
    async with Client(fenced.connection.with_fence(None)) as client:
        task = asyncio.create_task(client.merge_patch("/api/v1/things/a", b"{}"))
        (await fenced.api.call()).respond(b"written")
        assert await task == b"written"


def test_it_may_be_prolonged_while_it_is_open_and_not_afterwards() -> None:
    clock = Clock()
    fence = Fence(clock)
    assert fence.open_until(110.0)
    clock.now = 109.0
    assert fence.open_until(119.0)
    assert fence.seconds_left == 10.0
    clock.now = 119.0
    assert not fence.open_until(129.0)
    clock.now = 118.0  # not even if the clock went back
    assert fence.seconds_left < 0
    assert not fence.open_until(129.0)


def test_one_that_was_shut_before_it_was_open_stays_shut() -> None:
    fence = Fence(Clock())
    fence.close()
    assert not fence.open_until(110.0)
    assert fence.seconds_left < 0


def test_a_lease_that_was_won_too_late_opens_nothing_and_may_be_won_again() -> None:
    clock = Clock()
    fence = Fence(clock)
    assert not fence.open_until(99.0)
    assert fence.seconds_left < 0
    assert fence.open_until(110.0)


def test_its_own_clock_goes_on() -> None:
    assert 0 < elapsed_seconds() <= elapsed_seconds()


@pytest.mark.parametrize("loops", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_what_has_passed_is_with_the_system_before_anything_can_hold_the_process_up(
    loops: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """A loop that kept it for later would send it after it was blocked, when another may write already."""
    with listening() as (server, has_come), asyncio.Runner(loop_factory=loops) as runner:
        assert runner.run(_write_and_block(server, has_come)) == [True, True, True]


async def _write_and_block(server: str, has_come: threading.Event) -> list[bool]:
    found: list[bool] = []
    fence = Fence()
    fence.open_until(elapsed_seconds() + 1000)

    class BlockedRequest(fence.request_class()):  # type: ignore[misc] # a class made at run time
        async def write_bytes(self, *parts: Any) -> None:
            has_come.clear()
            await super().write_bytes(*parts)
            found.append(has_come.wait(TIMEOUT_SECONDS))  # the loop does nothing meanwhile

    async with aiohttp.ClientSession(request_class=BlockedRequest) as session:
        for _ in range(3):
            await _text(session.patch(server, json={}))
    return found


@contextmanager
def listening() -> Iterator[tuple[str, threading.Event]]:
    """A server in a thread of its own, which says that something has come, and answers."""
    has_come = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while connection.recv(65536):
                has_come.set()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/", has_come
        thread.join()


async def _text(request: Any) -> bytes:
    async with request as response:
        return bytes(await response.read())
