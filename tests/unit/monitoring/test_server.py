"""The server responds to probes with `ok`, or with all checks on a failure or on request."""

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

Get = Callable[[str], Awaitable[tuple[int, str]]]


@asynccontextmanager
async def running_server(health: Health) -> AsyncIterator[Get]:
    """Runs a server with these health checks; its value is a function that requests a path."""
    with capture_logs() as lines:
        async with serve_probes_and_metrics(BindAddress("127.0.0.1", 0), health), ClientSession() as session:
            (address,) = lines[0]["addresses"]

            async def get(path: str) -> tuple[int, str]:
                async with session.get(f"http://{address}{path}") as response:
                    return response.status, await response.text()

            yield get


@pytest.fixture
def reflectors(client: Client) -> list[Reflector[Any]]:
    """Two reflectors that have just synced."""
    synced: list[Reflector[Any]] = [Reflector(client, PODS), Reflector(client, NODES)]
    for reflector in synced:
        reflector.synced.set()
    return synced


async def test_passing_checks_are_answered_with_ok(reflectors: list[Reflector[Any]]) -> None:
    async with running_server(Health(reflectors)) as get:
        assert await get("/healthz") == (200, "ok")
        assert await get("/readyz") == (200, "ok")


async def test_verbose_lists_each_check(reflectors: list[Reflector[Any]]) -> None:
    async with running_server(Health(reflectors)) as get:
        assert await get("/healthz?verbose") == (
            200,
            "[+]ping ok\n[+]watch-pods ok\n[+]watch-nodes ok\nhealthz check passed\n",
        )
        assert await get("/readyz?verbose=1") == (
            200,
            "[+]ping ok\n[+]cache-pods ok\n[+]cache-nodes ok\nreadyz check passed\n",
        )


@pytest.mark.parametrize("query", ["", "?verbose"])
async def test_a_process_that_is_not_ready_lists_each_check_and_is_alive(
    reflectors: list[Reflector[Any]], query: str
) -> None:
    reflectors[1].synced.clear()
    body = "[+]ping ok\n[+]cache-pods ok\n[-]cache-nodes failed: the first list is not complete\nreadyz check failed\n"
    async with running_server(Health(reflectors)) as get:
        assert await get(f"/readyz{query}") == (503, body)
        assert await get("/healthz") == (200, "ok")


async def test_a_process_that_is_not_alive_names_the_inactive_watch(reflectors: list[Reflector[Any]]) -> None:
    now = time.monotonic()
    reflectors[0].last_activity_at, reflectors[1].last_activity_at = now - 400, now
    failure = "[-]watch-pods failed: no event and no attempt for 400 s"
    async with running_server(Health(reflectors, lambda: now)) as get:
        assert await get("/healthz") == (503, f"[+]ping ok\n{failure}\n[+]watch-nodes ok\nhealthz check failed\n")


async def test_other_paths_are_not_found() -> None:
    async with running_server(Health(())) as get:
        assert (await get("/"))[0] == 404


async def test_other_tasks_run_while_metrics_are_rendered() -> None:
    turns: list[int] = []

    async def other() -> None:
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    text = b"".join([part async for part in Exposition([APIRequestMetrics()]).render()])
    assert len(turns) >= text.count(b"# TYPE") > 5
    task.cancel()


async def test_a_port_in_use_is_reported_with_a_fix() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other_process:
        address = BindAddress(*other_process.getsockname())
        with pytest.raises(BindError) as raised:
            async with serve_probes_and_metrics(address, Health(())):
                pass
    assert str(raised.value) == (
        f"cannot listen at {address}: another process listens there; choose another port with --bind-address"
    )


@pytest.mark.parametrize(
    "address", [BindAddress("192.0.2.1", 8080), BindAddress("no-such-host.invalid", 8080)], ids=str
)
async def test_an_address_of_another_machine_is_reported_with_a_fix(address: BindAddress) -> None:
    with pytest.raises(BindError) as raised:
        async with serve_probes_and_metrics(address, Health(())):
            pass
    assert str(raised.value).startswith(f"cannot listen at {address}: ")
    assert str(raised.value).endswith("; choose another address with --bind-address")
    assert "\n" not in str(raised.value)


async def test_metrics_are_not_served_beside_probes_if_they_are_elsewhere() -> None:
    for collectors, code in (((), 200), (None, 404)):
        with capture_logs() as lines:
            async with (
                serve_probes_and_metrics(BindAddress("127.0.0.1", 0), Health(()), collectors),
                ClientSession() as session,
                session.get(f"http://{lines[0]['addresses'][0]}/metrics") as response,
            ):
                assert response.status == code
