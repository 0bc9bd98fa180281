"""The reflector keeps its cache equal to the state of the API server in spite of all failures."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import aiohttp
import pytest

from statefulroute.cluster import client as client_module
from statefulroute.cluster import reflector as reflector_module
from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import PODS
from statefulroute.cluster.errors import APIError, ClusterError
from statefulroute.cluster.reflector import Reflector
from statefulroute.domain.backoff import Backoff
from statefulroute.domain.pod import Pod
from support.captured_logs import captured_logs
from unit.cluster.fake_api import TIMEOUT_SECONDS, Call, FakeAPI, Stream, eventually, status_object
from unit.cluster.objects import bookmark, event, page, pod

#: A change of the cache: the name, and the resource versions before and after.
Change = tuple[str, int | None, int | None]


class RunningReflector:
    """A running reflector, and all changes of its cache in order."""

    def __init__(self, api: FakeAPI, client: Client) -> None:
        self.api = api
        self.reflector = Reflector(client, PODS)
        self.cache = self.reflector.cache
        self.cache.listen(self._record)
        self._changes: asyncio.Queue[Change] = asyncio.Queue()
        self.task = asyncio.create_task(self.reflector.run())

    def _record(self, old: Pod | None, new: Pod | None) -> None:
        name = (new or old).name  # type: ignore[union-attr] # one of the two exists
        self._changes.put_nowait((name, old and old.resource_version, new and new.resource_version))

    async def change(self) -> Change:
        """Returns the next change."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await self._changes.get()

    @property
    def has_no_changes(self) -> bool:
        return self._changes.empty()

    @property
    def versions(self) -> dict[str, int]:
        """The resource version of every object in the cache, by name."""
        return {name: version.resource_version for name, version in self.cache.in_partition("games").items()}

    def observe(self, name: str, version: int) -> None:
        """Observes the result of a write."""
        self.reflector.observe(PODS.decode(json.dumps(pod(name, version)).encode()))

    async def watching(self, version: int) -> Stream:
        """Asserts that the next request is a watch from a version, and returns its stream."""
        call = await self.api.call()
        assert call.is_watch
        assert call.query["resourceVersion"] == str(version)
        return await call.stream()

    async def reconnecting(self, version: int, present_version: int | None = None) -> Stream:
        """Responds to the request for the collection's version, and returns the stream of the watch that follows."""
        await self.checking(version if present_version is None else present_version)
        return await self.watching(version)

    async def checking(self, present_version: int) -> None:
        """Asserts that the next request is for the collection's version, and responds with one."""
        call = await self.listing()
        assert call.query == {"limit": "1"}
        call.respond(page([pod("any", 1)], present_version, next_page="more"))

    async def listing(self, continue_token: str | None = None) -> Call:
        """Asserts that the next request is a list, or its next page, and returns the call."""
        call = await self.api.call()
        assert not call.is_watch
        assert call.query.get("continue") == continue_token
        return call

    async def listed(self, *pods: dict[str, Any], version: int = 10) -> Stream:
        """Responds to the first list with pods, and returns the stream of the watch that follows."""
        (await self.listing()).respond(page(list(pods), version))
        stream = await self.watching(version)
        for body in pods:
            assert await self.change() == (body["metadata"]["name"], None, int(body["metadata"]["resourceVersion"]))
        return stream


@pytest.fixture
async def running(api: FakeAPI, client: Client, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningReflector]:
    monkeypatch.setattr(reflector_module, "_INITIAL_BACKOFF_SECONDS", 0.0005)
    monkeypatch.setattr(reflector_module, "_MAX_BACKOFF_SECONDS", 0.002)
    running = RunningReflector(api, client)
    yield running
    running.task.cancel()
    await asyncio.wait([running.task])


async def test_the_next_page_is_requested_while_one_is_stored() -> None:
    sizes: list[int] = []

    class Pages:
        async def get(self, _: str, params: Mapping[str, str], **_more: object) -> bytes:
            sizes.append(len(reflector.cache))
            number = int(params.get("continue", "0"))
            token = str(number + 1) if number < 2 else ""
            return json.dumps(page([pod(f"pod-{number}", number + 1)], 10, next_page=token)).encode()

    reflector = Reflector(cast("Client", Pages()), PODS)
    task = asyncio.create_task(reflector.run())
    await reflector.synced.wait()
    task.cancel()
    assert (sizes, len(reflector.cache)) == ([0, 0, 1], 3)


async def test_a_list_is_read_page_by_page_and_then_watched(running: RunningReflector) -> None:
    first = await running.listing()
    assert (first.path, first.query) == ("/api/v1/pods", {"limit": "2000"})
    first.respond(page([pod("a", 1), pod("b", 2)], 10, next_page="more"))
    second = await running.listing("more")
    assert second.query == {"limit": "2000", "continue": "more"}
    await eventually(lambda: running.versions == {"a": 1, "b": 2})
    assert not running.reflector.synced.is_set()
    second.respond(page([pod("c", 3)], 10))
    watch = await running.api.call()
    assert running.versions == {"a": 1, "b": 2, "c": 3}
    assert running.reflector.synced.is_set()
    assert 300 <= int(watch.query.pop("timeoutSeconds")) <= 600
    assert watch.query == {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": "10"}


async def test_the_cache_stays_old_until_a_list_is_complete(running: RunningReflector) -> None:
    watch = await running.listed(pod("a", 1), pod("moved", 2))
    await expire_within_the_watch(running, watch)
    first, updated_at = await running.listing(), running.reflector.last_update_at
    first.respond(page([pod("a", 20)], 30, next_page="more"))
    second = await running.listing("more")
    await eventually(lambda: running.versions == {"a": 20, "moved": 2})
    assert running.reflector.last_update_at == updated_at < running.reflector.last_activity_at
    second.respond(page([pod("moved", 25)], 30))
    await running.watching(30)
    assert running.versions == {"a": 20, "moved": 25}
    assert updated_at < running.reflector.last_update_at < running.reflector.last_activity_at


async def test_an_empty_list_completes_the_sync(running: RunningReflector) -> None:
    await running.listed(version=7)
    assert running.reflector.synced.is_set()
    assert not running.versions


async def test_a_list_may_have_null_items(running: RunningReflector) -> None:
    (await running.listing()).respond({"metadata": {"resourceVersion": "7"}, "items": None})
    await running.watching(7)


async def test_the_events_of_a_watch_change_the_cache(running: RunningReflector) -> None:
    watch = await running.listed(pod("a", 1), pod("b", 2))
    await watch.send(
        event("ADDED", pod("c", 11)),
        event("MODIFIED", pod("a", 12, phase="Failed")),
        event("DELETED", pod("b", 13)),
        event("ADDED", pod("b", 14)),
    )
    assert [await running.change() for _ in range(4)] == [
        ("c", None, 11),
        ("a", 1, 12),
        ("b", 2, None),
        ("b", None, 14),
    ]
    assert running.versions == {"a": 12, "b": 14, "c": 11}
    assert running.cache.get("games", "a").service_state == "Failed"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("events", "version"),
    [
        ([], 10),
        ([event("ADDED", pod("z", 21))], 21),
        ([event("ADDED", pod("z", 21)), event("MODIFIED", pod("z", 22))], 22),
        ([event("ADDED", pod("z", 21)), event("DELETED", pod("z", 23))], 23),
        ([bookmark(30)], 30),
        ([event("ADDED", pod("z", 21)), bookmark(30)], 30),
        ([bookmark(30), event("ADDED", pod("z", 31))], 31),
    ],
)
async def test_the_next_watch_continues_where_the_last_one_ended(
    running: RunningReflector, events: list[dict[str, Any]], version: int
) -> None:
    watch = await running.listed(pod("a", 1))
    await watch.send(*events)
    watch.end()
    await running.reconnecting(version)
    assert running.versions["a"] == 1


async def expire_before_the_watch(running: RunningReflector, watch: Stream) -> None:
    watch.end()
    await running.checking(20)
    (await running.api.call()).respond_error(410, "Expired", "too old resource version: 10 (20)")


async def expire_within_the_watch(running: RunningReflector, watch: Stream) -> None:
    assert running.versions
    await watch.send(event("ERROR", status_object(410, "Expired", "too old resource version: 10 (20)")))


async def expire_within_the_next_list(running: RunningReflector, watch: Stream) -> None:
    await expire_within_the_watch(running, watch)
    (await running.listing()).respond(page([pod("a", 1), pod("also deleted", 20)], 20, next_page="more"))
    (await running.listing("more")).respond_error(410, "Expired", "the continue parameter is too old")
    assert await running.change() == ("also deleted", None, 20)


EXPIRATIONS = [expire_before_the_watch, expire_within_the_watch, expire_within_the_next_list]


@pytest.mark.parametrize("expire", EXPIRATIONS)
async def test_objects_deleted_while_the_watch_was_expired_are_removed(
    running: RunningReflector, expire: Callable[[RunningReflector, Stream], Any]
) -> None:
    watch = await running.listed(pod("a", 1), pod("b", 2), pod("c", 3))
    await expire(running, watch)
    (await running.listing()).respond(page([pod("a", 1), pod("c", 25), pod("d", 26)], 30))
    await running.watching(30)
    assert running.versions == {"a": 1, "c": 25, "d": 26}
    changes = [await running.change() for _ in range(3 if expire is not expire_within_the_next_list else 4)]
    assert changes[:2] == [("c", 3, 25), ("d", None, 26)]
    assert set(changes[2:]) - {("also deleted", 20, None)} == {("b", 2, None)}
    assert running.has_no_changes


async def test_a_list_that_expires_before_its_last_page_ends_with_one_request(running: RunningReflector) -> None:
    (await running.listing()).respond(page([pod("a", 1), pod("b", 2)], 10, next_page="more"))
    (await running.listing("more")).respond_error(410, "Expired", "the continue parameter is too old")
    whole = await running.listing()
    assert whole.query == {"resourceVersion": "10", "resourceVersionMatch": "NotOlderThan"}
    whole.respond(page([pod("a", 1), pod("c", 25)], 30))
    await running.watching(30)
    assert running.versions == {"a": 1, "c": 25}
    assert running.reflector.restarts == 0


async def test_a_disconnected_watch_costs_one_small_request(running: RunningReflector) -> None:
    watch = await running.listed(pod("a", 1))
    watch.disconnect()
    (await running.listing()).respond_error(503)
    watch = await running.reconnecting(10, 30)
    await watch.send(error_event(500))
    watch = await running.watching(10)
    await watch.send(event("ADDED", pod("b", 31)))
    assert await running.change() == ("b", None, 31)


async def test_a_watch_that_reaches_its_timeout_costs_no_further_request(
    running: RunningReflector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector_module, "_WATCH_TIMEOUT_SECONDS", (1, 1))
    (await running.listing()).respond(page([], 10))
    watch = await running.watching(10)
    await watch.send(bookmark(11))
    watch.end()
    await running.watching(11)


async def test_objects_of_a_restored_etcd_replace_newer_ones(running: RunningReflector) -> None:
    watch = await running.listed(pod("changed", 50), pod("same", 20), pod("lost", 60), version=100)
    await watch.send(event("ADDED", pod("late", 101)))
    assert await running.change() == ("late", None, 101)
    watch.disconnect()
    with captured_logs() as logs:
        await running.checking(40)
        (await running.listing()).respond(page([pod("changed", 30), pod("same", 20)], 40, next_page="more"))
        (await running.listing("more")).respond(page([pod("deleted since", 10)], 40))
        watch = await running.watching(40)
    assert running.versions == {"changed": 30, "same": 20, "deleted since": 10}
    changes = [await running.change() for _ in range(4)]
    assert changes[:2] == [("changed", 50, 30), ("deleted since", None, 10)]
    assert set(changes[2:]) == {("lost", 60, None), ("late", 101, None)}
    assert running.reflector.replaced.is_set()
    assert [line["cached_version"] for line in logs if line["event"].startswith("etcd was restored")] == [101]
    running.observe("changed", 41)
    await watch.send(event("MODIFIED", pod("same", 42)))
    assert [await running.change(), await running.change()] == [("changed", 30, 41), ("same", 20, 42)]


async def test_an_object_with_the_same_version_is_replaced_by_that_of_a_restored_etcd(
    running: RunningReflector,
) -> None:
    watch = await running.listed(pod("a", 30), version=100)
    watch.end()
    await running.checking(99)
    (await running.listing()).respond(page([pod("a", 30, phase="Failed")], 99))
    await running.watching(99)
    assert running.cache.get("games", "a").service_state == "Failed"  # type: ignore[union-attr]


async def test_a_write_ahead_of_the_watch_shows_that_etcd_was_restored(running: RunningReflector) -> None:
    watch = await running.listed(pod("a", 1), version=100)
    running.observe("a", 105)
    watch.disconnect()
    await running.checking(102)
    (await running.listing()).respond(page([pod("a", 1)], 102))
    await running.watching(102)
    assert running.versions == {"a": 1}


async def test_a_write_after_the_request_for_the_version_requires_no_list(running: RunningReflector) -> None:
    watch = await running.listed(pod("a", 1), version=100)
    watch.disconnect()
    call = await running.listing()
    running.observe("a", 105)
    call.respond(page([], 100))
    await running.watching(100)
    assert running.versions == {"a": 105}


async def test_objects_of_a_restored_etcd_replace_those_of_an_incomplete_list(running: RunningReflector) -> None:
    (await running.listing()).respond(page([pod("a", 90), pod("lost", 95)], 100, next_page="more"))
    (await running.listing("more")).respond_error(503)
    (await running.listing()).respond(page([pod("a", 20)], 40))
    await running.watching(40)
    assert running.versions == {"a": 20}


async def test_objects_of_an_etcd_restored_to_a_later_revision_replace_newer_ones(running: RunningReflector) -> None:
    watch = await running.listed(pod("a", 50), pod("lost", 60), version=100)
    running.observe("a", 104)
    await expire_within_the_watch(running, watch)
    (await running.listing()).respond(page([pod("a", 30)], 1_000_000))
    await running.watching(1_000_000)
    assert running.versions == {"a": 30}


async def test_an_object_written_after_the_lists_version_is_kept(running: RunningReflector) -> None:
    first = await running.listing()
    first.respond(page([pod("a", 1)], 10, next_page="more"))
    second = await running.listing("more")
    running.observe("new", 12)
    running.observe("deleted later", 9)
    second.respond(page([pod("b", 2)], 10))
    await running.watching(10)
    assert running.versions == {"a": 1, "b": 2, "new": 12}


async def test_an_older_version_never_replaces_a_newer_one(running: RunningReflector) -> None:
    listing = await running.listing()
    running.observe("a", 12)
    listing.respond(page([pod("a", 9), pod("b", 8)], 10))
    watch = await running.watching(10)
    assert running.versions == {"a": 12, "b": 8}
    await watch.send(event("MODIFIED", pod("a", 11)), event("DELETED", pod("a", 11)), event("ADDED", pod("end", 13)))
    assert [await running.change() for _ in range(3)] == [("a", None, 12), ("b", None, 8), ("end", None, 13)]
    assert running.versions == {"a": 12, "b": 8, "end": 13}


async def test_the_event_of_an_observed_write_changes_nothing(running: RunningReflector) -> None:
    watch = await running.listed(pod("a", 1))
    running.observe("a", 11)
    assert await running.change() == ("a", 1, 11)
    running.observe("a", 11)
    await watch.send(event("MODIFIED", pod("a", 11)), event("ADDED", pod("end", 12)))
    assert await running.change() == ("end", None, 12)


async def test_a_late_response_does_not_restore_a_deleted_object(running: RunningReflector) -> None:
    watch = await running.listed(pod("a", 1))
    await watch.send(event("MODIFIED", pod("a", 11)), event("DELETED", pod("a", 12)))
    assert [await running.change(), await running.change()] == [("a", 1, 11), ("a", 11, None)]
    running.observe("a", 11)
    running.observe("a", 12)
    assert running.versions == {}
    assert running.has_no_changes


@pytest.mark.parametrize("incomplete", ['{"type": "ADDED", "object": {"metadata": {"name": "b"', '{"type":', ""])
async def test_a_watch_continues_after_a_broken_connection(running: RunningReflector, incomplete: str) -> None:
    watch = await running.listed(pod("a", 1))
    await watch.send(event("ADDED", pod("z", 20)))
    assert await running.change() == ("z", None, 20)
    await watch.write(incomplete.encode())
    watch.disconnect()
    watch = await running.reconnecting(20)
    await watch.send(event("ADDED", pod("b", 21)))
    assert await running.change() == ("b", None, 21)
    assert running.versions == {"a": 1, "b": 21, "z": 20}


@pytest.mark.parametrize("status", [429, 500, 503, 403])
async def test_a_failing_server_is_retried(running: RunningReflector, status: int) -> None:
    for _ in range(3):
        (await running.listing()).respond_error(status)
    watch = await running.listed(pod("a", 1))
    watch.end()
    await running.checking(10)
    for _ in range(3):
        call = await running.api.call()
        assert call.query["resourceVersion"] == "10"
        call.respond_error(status)
    watch = await running.watching(10)
    await watch.send(event("ERROR", status_object(500, "InternalError", "etcd is unavailable")))
    watch = await running.watching(10)
    await watch.send(event("ADDED", pod("b", 11)))
    assert await running.change() == ("b", None, 11)


def error_event(status: int) -> dict[str, Any]:
    return event("ERROR", status_object(status, "Reason", "etcd is unavailable"))


@pytest.mark.parametrize("unusable", [error_event(500), error_event(403), b"<html>a proxy</html>"], ids=str)
async def test_a_version_that_cannot_be_watched_is_listed_after_some_attempts(
    running: RunningReflector, unusable: object
) -> None:
    watch = await running.listed(pod("a", 1), pod("b", 2))
    for _ in range(2):
        await watch.send(unusable)
        watch = await running.watching(10)
    await watch.send(event("ADDED", pod("c", 11)))  # the attempts count from here
    for _ in range(2):
        await watch.send(unusable)
        watch = await running.watching(11)
    await watch.send(unusable)
    (await running.listing()).respond(page([pod("a", 1)], 20))
    await running.watching(20)
    assert running.versions == {"a": 1}


async def test_a_throttled_watch_is_not_replaced_by_a_list(running: RunningReflector) -> None:
    watch = await running.listed(pod("a", 1))
    for _ in range(6):
        await watch.send(error_event(429))
        watch = await running.watching(10)


@pytest.mark.parametrize(
    "data",
    [
        "<html>a proxy</html>",
        "",
        "{}",
        '{"metadata": {}, "items": []}',
        '{"metadata": {"resourceVersion": "many"}, "items": []}',
        b'{"metadata": {"continue": "\xff"}, "items": []}',
        "[" * 100_000,
    ],
    ids=["page", "empty", "not a list", "no version", "not a number", "not UTF-8", "too deep"],
)
async def test_a_malformed_list_is_requested_again(running: RunningReflector, data: str | bytes) -> None:
    with captured_logs() as logs:
        (await running.listing()).respond(data)
        await running.listed(pod("a", 1))
    assert running.versions == {"a": 1}
    assert [line["resource"] for line in logs if line["log_level"] in {"warning", "error"}] == ["/api/v1/pods"]


@pytest.mark.parametrize(
    "data",
    [
        b"<html>a proxy</html>",
        b"{}",
        b'{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "many"}}}',
        b'{"type": "BOOKMARK", "object": 5}',
        b'{"type": "ERROR", "object": "data"}',
        b'{"type": "\xff", "object": {}}',
    ],
)
async def test_the_watch_restarts_after_a_malformed_event(running: RunningReflector, data: bytes) -> None:
    watch = await running.listed(pod("a", 1))
    with captured_logs() as logs:
        await watch.send(data)
        watch = await running.watching(10)
    assert [line["event"] for line in logs] == ["watching failed: trying again"]
    await watch.send(event("ADDED", pod("b", 11)))
    assert await running.change() == ("b", None, 11)


MALFORMED: list[Any] = [
    {"metadata": {"name": "bad"}},
    {"metadata": None},
    5,
    pod("bad", 5) | {"status": {"phase": 7}},
    pod("bad", resourceVersion="many"),
    pod("bad", creationTimestamp="yesterday"),
]


@pytest.mark.parametrize("malformed", MALFORMED, ids=str)
async def test_a_malformed_object_in_a_page_is_skipped(running: RunningReflector, malformed: object) -> None:
    with captured_logs() as logs:
        (await running.listing()).respond(page([pod("a", 1), malformed, pod("b", 2)], 10))
        await running.watching(10)
    assert running.versions == {"a": 1, "b": 2}
    assert [(line["log_level"], line["event"]) for line in logs] == [("warning", "a malformed object is ignored")]


@pytest.mark.parametrize("malformed", MALFORMED, ids=str)
async def test_a_malformed_object_in_a_watch_is_skipped(running: RunningReflector, malformed: object) -> None:
    watch = await running.listed(pod("a", 1))
    with captured_logs() as logs:
        await watch.send(event("MODIFIED", malformed), event("ADDED", pod("b", 11)))
        assert await running.change() == ("b", None, 11)
    assert [(line["log_level"], line["event"]) for line in logs] == [("warning", "a malformed object is ignored")]


async def test_an_event_may_be_long_and_arrive_in_many_pieces(running: RunningReflector) -> None:
    watch = await running.listed()
    long = json.dumps(event("ADDED", pod("long", 11, annotations={"data": "é" * 500_000}))).encode() + b"\n"
    assert len(long) > 2**20
    for start in range(0, len(long), 10_007):
        await watch.write(long[start : start + 10_007])
    assert await running.change() == ("long", None, 11)


async def test_the_reflector_waits_for_a_missing_kind(running: RunningReflector) -> None:
    for _ in range(5):
        (await running.listing()).respond("404 page not found\n", 404, "text/plain")
        assert not running.reflector.synced.is_set()
    await running.listed(pod("a", 1))
    assert running.reflector.synced.is_set()


async def test_an_idle_watch_is_restarted(running: RunningReflector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_WATCH_TIMEOUT", aiohttp.ClientTimeout(total=None, sock_read=0.25))
    watch = await running.listed(pod("a", 1))
    await watch.send(bookmark(15))
    await running.reconnecting(15)


async def test_watches_that_end_immediately_are_restarted_with_backoff(
    running: RunningReflector, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    longest_delay = Backoff.delay

    def record_longest(backoff: Backoff, attempt: int, _asked: float) -> float:
        pauses.append(longest_delay(replace(backoff, random=lambda: 1.0), attempt))
        return 0.0

    monkeypatch.setattr(Backoff, "delay", record_longest)
    watch = await running.listed(pod("a", 1))
    for _ in range(4):
        watch.end()
        watch = await running.reconnecting(10)
    assert pauses == [0.0005, 0.001, 0.002, 0.002]
    await watch.send(bookmark(11))
    watch.end()
    watch = await running.reconnecting(11)
    assert len(pauses) == 4
    watch.disconnect()
    await running.reconnecting(11)
    assert pauses[4:] == [0.0005]


async def test_a_reflector_stops_when_it_is_cancelled(running: RunningReflector) -> None:
    watch = await running.listed(pod("a", 1))
    await watch.send(event("ADDED", pod("b", 11)))
    await running.change()
    running.task.cancel()
    await eventually(running.task.done)
    assert running.task.cancelled()
    await eventually(lambda: watch.is_disconnected)
    assert running.versions == {"a": 1, "b": 11}


async def test_a_reflector_stops_when_it_is_cancelled_before_a_response(running: RunningReflector) -> None:
    await running.listing()
    running.task.cancel()
    await eventually(running.task.done)
    assert running.task.cancelled()
    assert not running.reflector.synced.is_set()


async def test_a_listener_that_raises_does_not_stop_the_reflector(running: RunningReflector) -> None:
    watch = await running.listed(pod("a", 1))

    def fail(_old: Pod | None, _new: Pod | None) -> None:
        raise RuntimeError("a bug")

    running.cache.listen(fail)
    with captured_logs() as logs:
        await watch.send(event("ADDED", pod("b", 11)))
        await running.watching(11)
    assert [line["log_level"] for line in logs] == ["error"]
    assert running.versions == {"a": 1, "b": 11}


async def reading(running: RunningReflector, name: str) -> tuple[asyncio.Task[Pod | None], Call]:
    """Starts to read a pod, and returns the task and the request."""
    task = asyncio.create_task(running.reflector.read("games", name))
    return task, await running.listing()


async def test_object_that_is_read_is_stored_ahead_of_the_watch(running: RunningReflector) -> None:
    await running.listed(pod("a", 1))
    task, call = await reading(running, "a")
    assert (call.path, call.query) == ("/api/v1/namespaces/games/pods", {"fieldSelector": "metadata.name=a"})
    call.respond(page([pod("a", 12)], 13))
    read = await task
    assert (read and read.resource_version, running.versions) == (12, {"a": 12})


async def test_object_that_does_not_exist_is_removed_ahead_of_the_watch(running: RunningReflector) -> None:
    await running.listed(pod("a", 1), pod("b", 2))
    task, call = await reading(running, "a")
    call.respond(page([], 13))
    assert (await task, running.versions) == (None, {"b": 2})


async def test_object_that_was_created_after_the_read_is_kept(running: RunningReflector) -> None:
    await running.listed()
    task, call = await reading(running, "a")
    running.observe("a", 14)
    call.respond(page([], 13))
    assert (await task, running.versions) == (None, {"a": 14})


async def test_object_that_was_deleted_after_the_read_is_not_stored(running: RunningReflector) -> None:
    watch = await running.listed(pod("a", 1))
    task, call = await reading(running, "a")
    await watch.send(event("DELETED", pod("a", 14)))
    await running.change()
    call.respond(page([pod("a", 1)], 13))
    await task
    assert not running.versions


@pytest.mark.parametrize("pods", [[], [pod("a", 1)]], ids=["deleted", "exists"])
async def test_read_that_is_older_than_the_cache_fails(running: RunningReflector, pods: list[dict[str, Any]]) -> None:
    await running.listed(pod("a", 7))
    task, call = await reading(running, "a")
    call.respond(page(pods, 5))
    with pytest.raises(ClusterError, match="older than the cache"):
        await task
    assert running.versions == {"a": 7}


@pytest.mark.parametrize(
    ("body", "status", "error"), [({"code": 500}, 500, APIError), (page([{"metadata": {}}], 13), 200, ValueError)]
)
async def test_failed_read_changes_nothing(
    running: RunningReflector, body: object, status: int, error: type[Exception]
) -> None:
    await running.listed(pod("a", 1))
    task, call = await reading(running, "a")
    call.respond(body, status)
    with pytest.raises(error):
        await task
    assert running.versions == {"a": 1}
