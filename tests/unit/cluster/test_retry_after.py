"""The pause that the API server asks for: every client waits at least as long, and none for ever."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from statefulroute.api.group import POD_LINK
from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import PODS
from statefulroute.cluster.connection import connect
from statefulroute.cluster.errors import APIError
from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.link_store import LinkStore
from statefulroute.cluster.reflector import Reflector
from statefulroute.cluster.retry_after import NamespacePauses, parse_retry_after
from statefulroute.domain.backoff import retry_delay
from statefulroute.domain.errors import DeadlineExceededError
from statefulroute.domain.events import Event, EventAction, EventType
from unit.cluster.fake_api import FakeAPI, status_object
from unit.cluster.kubeconfigs import write_kubeconfig
from unit.cluster.objects import event, page, pod

DATE = "Sat, 28 Nov 2026 02:00:00 GMT"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Records the pauses of at least half a second, which are over at once, with the longest random part."""
    recorded: list[float] = []
    sleep = asyncio.sleep

    async def skip(seconds: float) -> None:
        if seconds >= 0.5:
            recorded.append(seconds)
        await sleep(0 if seconds >= 0.5 else seconds)

    monkeypatch.setattr(asyncio, "sleep", skip)
    return recorded


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        (None, DATE, 0),
        ("1", None, 1),
        ("2.5", None, 2.5),
        ("31536000", None, 31_536_000),
        ("Sat, 28 Nov 2026 02:00:07 GMT", DATE, 7),
        ("Sat, 28 Nov 2026 01:59:00 GMT", DATE, 0),
        ("Sat, 28 Nov 2026 02:00:07 GMT", None, 0),
        ("Sat, 28 Nov 2026 02:00:07", DATE, 0),
        ("-5", DATE, 0),
        ("nan", DATE, 0),
        ("inf", DATE, 0),
        ("1e999", DATE, 0),
        ("soon", DATE, 0),
        ("Sat, 28 Nov 99999999999 02:00:07 GMT", DATE, 0),
        ("Sat, 28 Nov 2026 02:00:07 +99999999999999999", DATE, 0),
        ("Sat, 28 Nov 2026 02:00:07 GMT", "Sat, 28 Nov 99999999999 02:00:07 GMT", 0),
        ("", DATE, 0),
    ],
)
def test_header_is_a_number_or_a_date_and_anything_else_asks_for_no_pause(
    value: str | None, date: str | None, seconds: float
) -> None:
    assert parse_retry_after(value, date) == seconds


async def refused(api: FakeAPI, client: Client, status: int, body: object = None, **headers: str) -> APIError:
    """Returns the error of a request that is answered with an error."""
    task = asyncio.create_task(client.get("/api/v1/pods"))
    call = await api.call()
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    call.respond(status_object(status, "Reason", "later") if body is None else body, status, headers=named)
    with pytest.raises(APIError) as raised:
        await task
    return raised.value


@pytest.mark.parametrize("status", [429, 500, 503, 504])
async def test_error_has_the_pause_that_the_response_asks_for(api: FakeAPI, client: Client, status: int) -> None:
    assert (await refused(api, client, status, retry_after="7")).retry_after_seconds == 7
    assert (await refused(api, client, status, "<html>a proxy</html>", retry_after="7")).retry_after_seconds == 7
    assert (await refused(api, client, status)).retry_after_seconds == 0


async def test_details_ask_for_a_pause_too(api: FakeAPI, client: Client) -> None:
    body = {**status_object(504, "Timeout", "later"), "details": {"retryAfterSeconds": 3}}
    assert (await refused(api, client, 504, body)).retry_after_seconds == 3
    for malformed in (None, -1, "soon", {}):
        body["details"] = {"retryAfterSeconds": malformed}
        error = await refused(api, client, 504, body)
        assert (error.retry_after_seconds, error.reason) == (0, "Timeout")


@pytest.mark.parametrize("status", [403, 404, 409, 422])
async def test_other_errors_ask_for_no_pause(api: FakeAPI, client: Client, status: int) -> None:
    assert (await refused(api, client, status, retry_after="7")).retry_after_seconds == 0


async def start(work: Any) -> "asyncio.Task[Any]":
    return asyncio.create_task(work)


async def test_command_repeats_a_request_that_was_not_handled(
    api: FakeAPI, tmp_path: Path, pauses: list[float]
) -> None:
    path = write_kubeconfig(tmp_path / "kubeconfig", server=api.server)
    async with connect(path) as connection, Client(connection, attempts=3) as client:
        task = await start(client.merge_patch("/api/v1/pods/a", b"{}"))
        for _ in range(2):
            (await api.call()).respond_error(429, "TooManyRequests", retry_after="4")
        (await api.call()).respond({})
        assert await task == b"{}"
        assert all(4 <= pause <= 5 for pause in pauses)
        assert len(pauses) == 2
        for status, headers in ((503, {"retry_after": "4"}), (429, {})):
            task = await start(client.merge_patch("/api/v1/pods/a", b"{}"))
            (await api.call()).respond_error(status, **headers)
            with pytest.raises(APIError):  # it may have been handled, or no pause is asked for
                await task


async def test_reflector_waits_before_it_lists_and_watches_again(
    api: FakeAPI, client: Client, pauses: list[float]
) -> None:
    reflector = Reflector(client, PODS)
    task = asyncio.create_task(reflector.run())
    (await api.call()).respond_error(429, "TooManyRequests", retry_after="4")
    (await api.call()).respond(page([pod("a", 1)], 10))
    (await api.call()).respond_error(503, "ServiceUnavailable", retry_after="8")
    busy = {**status_object(429, "", ""), "details": {"retryAfterSeconds": 16}}
    await (await api.call()).stream(event("ERROR", busy))
    (await api.call()).respond_error(429, "TooManyRequests", retry_after="31536000")
    await api.call()
    task.cancel()
    for pause, asked in zip(pauses, (4, 8, 16, 32), strict=True):
        assert asked <= pause <= 1.25 * asked


async def test_further_page_is_requested_again_without_the_earlier_ones(
    api: FakeAPI, client: Client, pauses: list[float]
) -> None:
    reflector = Reflector(client, PODS)
    task = asyncio.create_task(reflector.run())
    (await api.call()).respond(page([pod("a", 1)], 10, next_page="two"))
    for _ in range(3):
        call = await api.call()
        assert call.query["continue"] == "two"
        call.respond_error(429, "TooManyRequests", retry_after="1")
    (await api.call()).respond(page([pod("b", 2)], 10))
    await reflector.synced.wait()
    task.cancel()
    assert len(pauses) == 3


@pytest.fixture
async def make_store(api: FakeAPI, tmp_path: Path) -> AsyncIterator[Callable[[float], LinkStore]]:
    path = write_kubeconfig(tmp_path / "kubeconfig", server=api.server)
    async with connect(path) as connection, Client(connection) as client:
        yield lambda seconds: LinkStore(client, "play", deadline_seconds=seconds)


async def test_operation_on_a_link_waits_before_its_next_read_and_write(
    api: FakeAPI, make_store: Callable[[float], LinkStore], pauses: list[float]
) -> None:
    task = await start(make_store(30).set("game", "alice", 1))
    (await api.call()).respond_error(429, "TooManyRequests", retry_after="2")
    (await api.call()).respond_error(404, "NotFound")
    (await api.call()).respond_error(429, "TooManyRequests", retry_after="4")
    (await api.call()).respond_error(404, "NotFound")
    (await api.call()).respond_error(503, "ServiceUnavailable", retry_after="8")
    await api.call()
    task.cancel()
    for pause, asked in zip(pauses, (2, 4, 8), strict=True):
        assert asked <= pause <= 1.25 * asked


async def test_operation_fails_at_once_if_the_pause_ends_after_its_deadline(
    api: FakeAPI, make_store: Callable[[float], LinkStore]
) -> None:
    task = await start(make_store(5).set("game", "alice", 1))
    (await api.call()).respond_error(404, "NotFound")
    (await api.call()).respond_error(429, "TooManyRequests", "later", retry_after="6")
    with pytest.raises(APIError, match="later"):
        async with asyncio.timeout(4):
            await task


async def test_read_that_is_refused_ends_at_the_deadline(
    api: FakeAPI, make_store: Callable[[float], LinkStore]
) -> None:
    task = await start(make_store(0.2).get("game", "alice"))
    (await api.call()).respond_error(429, "TooManyRequests", "later", retry_after="6")
    with pytest.raises(DeadlineExceededError):
        await task


async def test_events_of_a_namespace_wait(api: FakeAPI, client: Client) -> None:
    recorder = EventRecorder(client, "test")
    for namespace, name in (("play", "one"), ("other", "three"), ("play", "two")):
        recorder.record(Event(POD_LINK, namespace, name, EventType.NORMAL, EventAction.BIND, "Bound", "bound"), name)
    started = time.monotonic()
    task = asyncio.create_task(recorder.run())
    (await api.call()).respond_error(429, "TooManyRequests", retry_after="0.3")
    other = await api.call()
    assert "/namespaces/other/" in other.path
    other.respond("{}")
    assert "/namespaces/play/" in (await api.call()).path
    task.cancel()
    assert time.monotonic() - started >= 0.3


def test_namespace_whose_pause_is_over_is_not_kept() -> None:
    now = 100.0
    pauses = NamespacePauses(lambda: now)
    pauses.pause("accepted", 0.0)
    for number in range(1_000):
        pauses.pause(f"play-{number}", 4.0)
        now += 1.0
    assert (pauses.allows("play-0"), pauses.allows("play-999"), pauses.seconds_left()) == (True, False, 1.0)
    assert len(pauses._until) == 4  # noqa: SLF001 - what is kept
    now += 4.0
    assert (pauses.allows("play-999"), pauses.seconds_left()) == (True, 0.0)


def test_pauses_of_many_clients_differ() -> None:
    generator = random.Random(1)
    pauses = sorted(retry_delay(0.0, 4.0, generator.random) for _ in range(100))
    assert 4.0 <= pauses[0] < 4.1
    assert 4.9 < pauses[-1] <= 5.0
