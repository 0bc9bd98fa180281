"""What a process answers over HTTP: in one word when all is well, check by check when it is not or when asked."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs

from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import NODES, PODS
from statefulroute.cluster.reflector import Reflector
from statefulroute.monitoring.api_requests import APIRequestMetrics
from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.monitoring.exposition import Exposition
from statefulroute.monitoring.health import Health
from statefulroute.monitoring.server import BindError, serve_probes_and_metrics

Ask = Callable[[str], Awaitable[tuple[int, str]]]


@asynccontextmanager
async def asking(health: Health) -> AsyncIterator[Ask]:
    """A server of this health; gives what asks it for a path."""
    with capture_logs() as lines:
        async with serve_probes_and_metrics(BindAddress("127.0.0.1", 0), health), ClientSession() as session:
            (address,) = lines[0]["addresses"]

            async def ask(path: str) -> tuple[int, str]:
                async with session.get(f"http://{address}{path}") as response:
                    return response.status, await response.text()

            yield ask


@pytest.fixture
def reflectors(client: Client) -> list[Reflector[Any]]:
    """Two that have read everything a moment ago."""
    made: list[Reflector[Any]] = [Reflector(client, PODS), Reflector(client, NODES)]
    for each in made:
        each.synced.set()
    return made


async def test_what_is_well_is_told_in_one_word(reflectors: list[Reflector[Any]]) -> None:
    async with asking(Health(reflectors)) as ask:
        assert await ask("/healthz") == (200, "ok")
        assert await ask("/readyz") == (200, "ok")


async def test_who_asks_is_told_each_check(reflectors: list[Reflector[Any]]) -> None:
    async with asking(Health(reflectors)) as ask:
        assert await ask("/healthz?verbose") == (
            200,
            "[+]ping ok\n[+]watch-pods ok\n[+]watch-nodes ok\nhealthz check passed\n",
        )
        assert await ask("/readyz?verbose=1") == (
            200,
            "[+]ping ok\n[+]cache-pods ok\n[+]cache-nodes ok\nreadyz check passed\n",
        )


@pytest.mark.parametrize("query", ["", "?verbose"])
async def test_who_is_not_ready_says_why_without_being_asked_and_lives(
    reflectors: list[Reflector[Any]], query: str
) -> None:
    reflectors[1].synced.clear()
    said = "[+]ping ok\n[+]cache-pods ok\n[-]cache-nodes failed: the first list is not complete\nreadyz check failed\n"
    async with asking(Health(reflectors)) as ask:
        assert await ask(f"/readyz{query}") == (503, said)
        assert await ask("/healthz") == (200, "ok")


async def test_who_does_not_live_says_which_watch_is_silent(reflectors: list[Reflector[Any]]) -> None:
    now = time.monotonic()
    reflectors[0].last_activity_at, reflectors[1].last_activity_at = now - 400, now
    fault = "[-]watch-pods failed: no news and no attempt for 400 s"
    async with asking(Health(reflectors, lambda: now)) as ask:
        assert await ask("/healthz") == (503, f"[+]ping ok\n{fault}\n[+]watch-nodes ok\nhealthz check failed\n")


async def test_there_is_nothing_else_to_read() -> None:
    async with asking(Health(())) as ask:
        assert (await ask("/"))[0] == 404


async def test_others_have_their_turn_while_many_metrics_are_written() -> None:
    turns: list[int] = []

    async def other() -> None:
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    text = b"".join([part async for part in Exposition([APIRequestMetrics()]).render()])
    assert len(turns) >= text.count(b"# TYPE") > 5
    task.cancel()


async def test_a_port_that_is_taken_is_told_with_what_to_do() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = BindAddress(*taken.getsockname())
        with pytest.raises(BindError) as told:
            async with serve_probes_and_metrics(address, Health(())):
                pass
    assert str(told.value) == (
        f"cannot listen at {address}: another process listens there; choose another port with --bind-address"
    )


@pytest.mark.parametrize(
    "address", [BindAddress("192.0.2.1", 8080), BindAddress("no-such-host.invalid", 8080)], ids=str
)
async def test_an_address_that_is_not_of_this_machine_is_told_with_what_to_do(address: BindAddress) -> None:
    with pytest.raises(BindError) as told:
        async with serve_probes_and_metrics(address, Health(())):
            pass
    assert str(told.value).startswith(f"cannot listen at {address}: ")
    assert str(told.value).endswith("; choose another address with --bind-address")
    assert "\n" not in str(told.value)
