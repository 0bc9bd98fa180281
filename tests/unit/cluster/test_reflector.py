"""The reflector: its cache equals what the API server holds, whatever happens on the way."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import aiohttp
import pytest
from structlog.testing import capture_logs

from statefulroute.cluster import client as client_module
from statefulroute.cluster import reflector as reflector_module
from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import PODS
from statefulroute.cluster.reflector import Reflector
from statefulroute.domain.backoff import Backoff
from statefulroute.domain.pod import Pod
from unit.cluster.fake_api import TIMEOUT_SECONDS, Call, FakeAPI, Stream, eventually, status_object
from unit.cluster.objects import bookmark, event, page, pod

#: A change of the cache: a name, and the resource versions before and after.
Change = tuple[str, int | None, int | None]


class Follower:
    """A reflector at work, and all changes of its cache in their order."""

    def __init__(self, api: FakeAPI, client: Client) -> None:
        self.api = api
        self.reflector = Reflector(client, PODS)
        self.cache = self.reflector.cache
        self.cache.listen(self._note)
        self._changes: asyncio.Queue[Change] = asyncio.Queue()
        self.task = asyncio.create_task(self.reflector.run())

    def _note(self, old: Pod | None, new: Pod | None) -> None:
        name = (new or old).name  # type: ignore[union-attr] # one of the two exists
        self._changes.put_nowait((name, old and old.resource_version, new and new.resource_version))

    async def change(self) -> Change:
        """The next change."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await self._changes.get()

    @property
    def has_told_all(self) -> bool:
        return self._changes.empty()

    @property
    def held(self) -> dict[str, int]:
        """The resource version of every object in the cache by name."""
        return {name: version.resource_version for name, version in self.cache.in_partition("games").items()}

    def observe(self, name: str, version: int) -> None:
        """An answer to a write of our own."""
        self.reflector.observe(PODS.decode(json.dumps(pod(name, version)).encode()))

    async def watching(self, version: int) -> Stream:
        """The next request must be a watch from this version; its stream."""
        call = await self.api.call()
        assert call.is_watch
        assert call.query["resourceVersion"] == str(version)
        return await call.stream()

    async def listing(self, rest: str | None = None) -> Call:
        """The next request must be for a list, or for its next page."""
        call = await self.api.call()
        assert not call.is_watch
        assert call.query.get("continue") == rest
        return call

    async def listed(self, *pods: dict[str, Any], version: int = 10) -> Stream:
        """Answer the first list with these; the stream of the watch that follows."""
        (await self.listing()).respond(page(list(pods), version))
        stream = await self.watching(version)
        for each in pods:
            assert await self.change() == (each["metadata"]["name"], None, int(each["metadata"]["resourceVersion"]))
        return stream


@pytest.fixture
async def follower(api: FakeAPI, client: Client, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Follower]:
    monkeypatch.setattr(reflector_module, "_INITIAL_BACKOFF_SECONDS", 0.0005)
    monkeypatch.setattr(reflector_module, "_MAX_BACKOFF_SECONDS", 0.002)
    follower = Follower(api, client)
    yield follower
    follower.task.cancel()
    await asyncio.wait([follower.task])


async def test_the_api_server_makes_the_next_page_while_one_is_taken_in() -> None:
    held: list[int] = []

    class Pages:
        async def get(self, _: str, params: Mapping[str, str]) -> bytes:
            held.append(len(reflector.cache))
            number = int(params.get("continue", "0"))
            rest = str(number + 1) if number < 2 else ""
            return json.dumps(page([pod(f"pod-{number}", number + 1)], 10, next_page=rest)).encode()

    reflector = Reflector(cast("Client", Pages()), PODS)
    task = asyncio.create_task(reflector.run())
    await reflector.synced.wait()
    task.cancel()
    assert (held, len(reflector.cache)) == ([0, 0, 1], 3)


async def test_a_list_is_followed_page_by_page_and_then_watched(follower: Follower) -> None:
    first = await follower.listing()
    assert (first.path, first.query) == ("/api/v1/pods", {"limit": "2000"})
    first.respond(page([pod("a", 1), pod("b", 2)], 10, next_page="more"))
    second = await follower.listing(rest="more")
    assert second.query == {"limit": "2000", "continue": "more"}
    await eventually(lambda: follower.held == {"a": 1, "b": 2})
    assert not follower.reflector.synced.is_set()
    second.respond(page([pod("c", 3)], 10))
    watch = await follower.api.call()
    assert follower.held == {"a": 1, "b": 2, "c": 3}
    assert follower.reflector.synced.is_set()
    assert 300 <= int(watch.query.pop("timeoutSeconds")) <= 600
    assert watch.query == {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": "10"}


async def test_an_empty_list_is_a_list(follower: Follower) -> None:
    await follower.listed(version=7)
    assert follower.reflector.synced.is_set()
    assert not follower.held


async def test_a_list_may_have_null_for_no_items(follower: Follower) -> None:
    (await follower.listing()).respond({"metadata": {"resourceVersion": "7"}, "items": None})
    await follower.watching(7)


async def test_the_events_of_a_watch_change_the_cache(follower: Follower) -> None:
    watch = await follower.listed(pod("a", 1), pod("b", 2))
    await watch.send(
        event("ADDED", pod("c", 11)),
        event("MODIFIED", pod("a", 12, phase="Failed")),
        event("DELETED", pod("b", 13)),
        event("ADDED", pod("b", 14)),
    )
    assert [await follower.change() for _ in range(4)] == [
        ("c", None, 11),
        ("a", 1, 12),
        ("b", 2, None),
        ("b", None, 14),
    ]
    assert follower.held == {"a": 12, "b": 14, "c": 11}
    assert follower.cache.get("games", "a").service_state == "Failed"  # type: ignore[union-attr]


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
async def test_the_next_watch_goes_on_where_the_last_one_ended(
    follower: Follower, events: list[dict[str, Any]], version: int
) -> None:
    watch = await follower.listed(pod("a", 1))
    await watch.send(*events)
    watch.end()
    await follower.watching(version)
    assert follower.held["a"] == 1


async def refuse_the_watch(follower: Follower, watch: Stream) -> None:
    watch.end()
    (await follower.api.call()).respond_error(410, "Expired", "too old resource version: 10 (20)")


async def tell_within_the_watch(follower: Follower, watch: Stream) -> None:
    assert follower.held
    await watch.send(event("ERROR", status_object(410, "Expired", "too old resource version: 10 (20)")))


async def refuse_the_rest_of_the_next_list(follower: Follower, watch: Stream) -> None:
    await tell_within_the_watch(follower, watch)
    (await follower.listing()).respond(page([pod("a", 1), pod("gone too", 20)], 20, next_page="more"))
    (await follower.listing(rest="more")).respond_error(410, "Expired", "the continue parameter is too old")
    assert await follower.change() == ("gone too", None, 20)


GONE = [refuse_the_watch, tell_within_the_watch, refuse_the_rest_of_the_next_list]


@pytest.mark.parametrize("gone", GONE)
async def test_what_was_deleted_while_the_watch_was_too_far_behind_is_forgotten(
    follower: Follower, gone: Callable[[Follower, Stream], Any]
) -> None:
    watch = await follower.listed(pod("a", 1), pod("b", 2), pod("c", 3))
    await gone(follower, watch)
    (await follower.listing()).respond(page([pod("a", 1), pod("c", 25), pod("d", 26)], 30))
    await follower.watching(30)
    assert follower.held == {"a": 1, "c": 25, "d": 26}
    changes = [await follower.change() for _ in range(3 if gone is not refuse_the_rest_of_the_next_list else 4)]
    assert changes[:2] == [("c", 3, 25), ("d", None, 26)]
    assert set(changes[2:]) - {("gone too", 20, None)} == {("b", 2, None)}
    assert follower.has_told_all


async def test_what_our_own_write_made_after_the_lists_moment_survives_the_list(follower: Follower) -> None:
    first = await follower.listing()
    first.respond(page([pod("a", 1)], 10, next_page="more"))
    second = await follower.listing(rest="more")
    follower.observe("new", 12)
    follower.observe("deleted since", 9)
    second.respond(page([pod("b", 2)], 10))
    await follower.watching(10)
    assert follower.held == {"a": 1, "b": 2, "new": 12}


async def test_an_older_version_never_replaces_a_newer_one(follower: Follower) -> None:
    listing = await follower.listing()
    follower.observe("a", 12)
    listing.respond(page([pod("a", 9), pod("b", 8)], 10))
    watch = await follower.watching(10)
    assert follower.held == {"a": 12, "b": 8}
    await watch.send(event("MODIFIED", pod("a", 11)), event("DELETED", pod("a", 11)), event("ADDED", pod("end", 13)))
    assert [await follower.change() for _ in range(3)] == [("a", None, 12), ("b", None, 8), ("end", None, 13)]
    assert follower.held == {"a": 12, "b": 8, "end": 13}


async def test_the_echo_of_our_own_write_costs_nothing(follower: Follower) -> None:
    watch = await follower.listed(pod("a", 1))
    follower.observe("a", 11)
    assert await follower.change() == ("a", 1, 11)
    follower.observe("a", 11)
    await watch.send(event("MODIFIED", pod("a", 11)), event("ADDED", pod("end", 12)))
    assert await follower.change() == ("end", None, 12)


async def test_a_late_answer_does_not_bring_back_what_the_watch_has_told_the_end_of(follower: Follower) -> None:
    watch = await follower.listed(pod("a", 1))
    await watch.send(event("MODIFIED", pod("a", 11)), event("DELETED", pod("a", 12)))
    assert [await follower.change(), await follower.change()] == [("a", 1, 11), ("a", 11, None)]
    follower.observe("a", 11)
    follower.observe("a", 12)
    assert follower.held == {}
    assert follower.has_told_all


@pytest.mark.parametrize("half", ['{"type": "ADDED", "object": {"metadata": {"name": "b"', '{"type":', ""])
async def test_a_connection_that_breaks_goes_on_where_it_broke(follower: Follower, half: str) -> None:
    watch = await follower.listed(pod("a", 1))
    await watch.send(event("ADDED", pod("z", 20)))
    assert await follower.change() == ("z", None, 20)
    await watch.write(half.encode())
    watch.disconnect()
    watch = await follower.watching(20)
    await watch.send(event("ADDED", pod("b", 21)))
    assert await follower.change() == ("b", None, 21)
    assert follower.held == {"a": 1, "b": 21, "z": 20}


@pytest.mark.parametrize("status", [429, 500, 503, 403])
async def test_a_server_in_trouble_is_asked_again(follower: Follower, status: int) -> None:
    for _ in range(3):
        (await follower.listing()).respond_error(status)
    watch = await follower.listed(pod("a", 1))
    watch.end()
    for _ in range(3):
        call = await follower.api.call()
        assert call.query["resourceVersion"] == "10"
        call.respond_error(status)
    watch = await follower.watching(10)
    await watch.send(event("ERROR", status_object(500, "InternalError", "etcd is away")))
    watch = await follower.watching(10)
    await watch.send(event("ADDED", pod("b", 11)))
    assert await follower.change() == ("b", None, 11)


@pytest.mark.parametrize(
    "words",
    [
        "<html>a proxy</html>",
        "",
        "{}",
        '{"metadata": {}, "items": []}',
        '{"metadata": {"resourceVersion": "many"}, "items": []}',
        b'{"metadata": {"continue": "\xff"}, "items": []}',
        "[" * 100_000,
    ],
    ids=["page", "empty", "no list", "no version", "no number", "no UTF-8", "too deep"],
)
async def test_a_list_that_is_none_is_asked_for_again(follower: Follower, words: str | bytes) -> None:
    with capture_logs() as logs:
        (await follower.listing()).respond(words)
        await follower.listed(pod("a", 1))
    assert follower.held == {"a": 1}
    assert [line["resource"] for line in logs if line["log_level"] in {"warning", "error"}] == ["/api/v1/pods"]


@pytest.mark.parametrize(
    "words",
    [
        b"<html>a proxy</html>",
        b"{}",
        b'{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "many"}}}',
        b'{"type": "BOOKMARK", "object": 5}',
        b'{"type": "ERROR", "object": "words"}',
        b'{"type": "\xff", "object": {}}',
    ],
)
async def test_a_line_that_is_no_event_is_asked_for_again(follower: Follower, words: bytes) -> None:
    watch = await follower.listed(pod("a", 1))
    with capture_logs() as logs:
        await watch.send(words)
        watch = await follower.watching(10)
    assert [line["event"] for line in logs] == ["watching failed: trying again"]
    await watch.send(event("ADDED", pod("b", 11)))
    assert await follower.change() == ("b", None, 11)


MALFORMED: list[Any] = [
    {"metadata": {"name": "bad"}},
    {"metadata": None},
    5,
    pod("bad", 5) | {"status": {"phase": 7}},
    pod("bad", resourceVersion="many"),
    pod("bad", creationTimestamp="yesterday"),
]


@pytest.mark.parametrize("malformed", MALFORMED, ids=str)
async def test_a_malformed_object_in_a_page_is_left_out_and_the_others_arrive(
    follower: Follower, malformed: object
) -> None:
    with capture_logs() as logs:
        (await follower.listing()).respond(page([pod("a", 1), malformed, pod("b", 2)], 10))
        await follower.watching(10)
    assert follower.held == {"a": 1, "b": 2}
    assert [(line["log_level"], line["event"]) for line in logs] == [("warning", "a malformed object is ignored")]


@pytest.mark.parametrize("malformed", MALFORMED, ids=str)
async def test_a_malformed_object_in_a_watch_is_passed_over_and_the_others_arrive(
    follower: Follower, malformed: object
) -> None:
    watch = await follower.listed(pod("a", 1))
    with capture_logs() as logs:
        await watch.send(event("MODIFIED", malformed), event("ADDED", pod("b", 11)))
        assert await follower.change() == ("b", None, 11)
    assert [(line["log_level"], line["event"]) for line in logs] == [("warning", "a malformed object is ignored")]


async def test_a_line_may_be_long_and_come_in_many_pieces(follower: Follower) -> None:
    watch = await follower.listed()
    long = json.dumps(event("ADDED", pod("long", 11, annotations={"words": "é" * 500_000}))).encode() + b"\n"
    assert len(long) > 2**20
    for start in range(0, len(long), 10_007):
        await watch.write(long[start : start + 10_007])
    assert await follower.change() == ("long", None, 11)


async def test_a_kind_that_is_not_installed_yet_is_waited_for(follower: Follower) -> None:
    for _ in range(5):
        (await follower.listing()).respond("404 page not found\n", 404, "text/plain")
        assert not follower.reflector.synced.is_set()
    await follower.listed(pod("a", 1))
    assert follower.reflector.synced.is_set()


async def test_a_watch_that_falls_silent_is_begun_anew(follower: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_WATCH_TIMEOUT", aiohttp.ClientTimeout(total=None, sock_read=0.25))
    watch = await follower.listed(pod("a", 1))
    await watch.send(bookmark(15))
    call = await follower.api.call()
    assert call.query["resourceVersion"] == "15"


async def test_watches_that_end_at_once_are_not_begun_at_once_again(
    follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    longest_delay = Backoff.delay

    def record_longest(backoff: Backoff, attempt: int) -> float:
        pauses.append(longest_delay(replace(backoff, random=lambda: 1.0), attempt))
        return 0.0

    monkeypatch.setattr(Backoff, "delay", record_longest)
    watch = await follower.listed(pod("a", 1))
    for _ in range(4):
        watch.end()
        watch = await follower.watching(10)
    assert pauses == [0.0005, 0.001, 0.002, 0.002]
    await watch.send(bookmark(11))
    watch.end()
    watch = await follower.watching(11)
    assert len(pauses) == 4
    watch.disconnect()
    await follower.watching(11)
    assert pauses[4:] == [0.0005]


async def test_a_reflector_ends_when_it_is_cancelled(follower: Follower) -> None:
    watch = await follower.listed(pod("a", 1))
    await watch.send(event("ADDED", pod("b", 11)))
    await follower.change()
    follower.task.cancel()
    await eventually(follower.task.done)
    assert follower.task.cancelled()
    await eventually(lambda: watch.is_disconnected)
    assert follower.held == {"a": 1, "b": 11}


async def test_a_reflector_ends_when_it_is_cancelled_before_any_answer(follower: Follower) -> None:
    await follower.listing()
    follower.task.cancel()
    await eventually(follower.task.done)
    assert follower.task.cancelled()
    assert not follower.reflector.synced.is_set()


async def test_a_listener_that_raises_does_not_end_the_reflector(follower: Follower) -> None:
    watch = await follower.listed(pod("a", 1))

    def fail(_old: Pod | None, _new: Pod | None) -> None:
        raise RuntimeError("a defect")

    follower.cache.listen(fail)
    with capture_logs() as logs:
        await watch.send(event("ADDED", pod("b", 11)))
        await follower.watching(11)
    assert [line["log_level"] for line in logs] == ["error"]
    assert follower.held == {"a": 1, "b": 11}
