"""The recorder drops repeated events and limits the rate of events."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest

from statefulroute.api.group import POD_LINK, STATEFUL_ROUTE
from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import APIError, UnreachableError
from statefulroute.cluster.events import EventRecorder
from statefulroute.domain.events import Event, EventType


class EventClient:
    """A fake client that stores posted events, and the clocks of the recorder."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.seconds = 0.0
        self.fails = False
        self.refused_namespace, self.refusal = "busy", APIError(429, "TooManyRequests", "later")
        self.may_respond = asyncio.Event()
        self.may_respond.set()
        self.recorder = EventRecorder(
            cast("Client", self), "operator-0", lambda: datetime(2026, 6, 1, 12, tzinfo=UTC), lambda: self.seconds
        )

    async def post(self, path: str, body: bytes) -> bytes:
        """Stores an event, as the client's method writes it."""
        if self.fails:
            raise UnreachableError("no answer")
        assert path.startswith("/apis/events.k8s.io/v1/namespaces/")
        self.paths.append(path)
        if f"/namespaces/{self.refused_namespace}/" in path:
            raise self.refusal
        await self.may_respond.wait()
        if b"hanging" in body:
            await asyncio.Event().wait()
        self.posted.append(msgspec.json.decode(body))
        return b"{}"

    async def settle(self) -> list[str]:
        """Lets the recorder write its queue, and returns the notes of all written events."""
        writing = asyncio.create_task(self.recorder.run())
        for _ in range(200):
            await asyncio.sleep(0)
        writing.cancel()
        return [event["note"] for event in self.posted]


def event(note: str = "bound", name: str = "game.alice", namespace: str = "play") -> Event:
    return Event(POD_LINK, namespace, name, EventType.NORMAL, "Bind", "Bound", note)


async def test_an_event_refers_to_its_link_so_that_kubectl_describe_finds_it() -> None:
    events = EventClient()
    events.recorder.record(event(), "its-uid")
    await events.settle()
    (posted,) = events.posted
    assert events.paths == ["/apis/events.k8s.io/v1/namespaces/play/events"]
    assert posted["regarding"] == {
        "apiVersion": "statefulroute.io/v1alpha1",
        "kind": "PodLink",
        "namespace": "play",
        "name": "game.alice",
        "uid": "its-uid",
    }
    assert (posted["type"], posted["action"], posted["reason"], posted["note"]) == ("Normal", "Bind", "Bound", "bound")
    assert posted["eventTime"] == "2026-06-01T12:00:00.000000Z"
    assert (posted["reportingController"], posted["reportingInstance"]) == ("statefulroute.io/operator", "operator-0")


async def test_the_same_event_is_not_recorded_again_within_ten_minutes() -> None:
    events = EventClient()
    for seconds in (0.0, 1.0, 599.0, 601.0):
        events.seconds = seconds
        events.recorder.record(event(), "its-uid")
    assert await events.settle() == ["bound", "bound"]


async def test_a_recreated_link_has_separate_events() -> None:
    events = EventClient()
    events.recorder.record(event(), "first")
    events.recorder.record(event(), "second")
    await events.settle()
    assert [posted_event["regarding"]["uid"] for posted_event in events.posted] == ["first", "second"]


async def test_none_is_not_recorded() -> None:
    events = EventClient()
    events.recorder.record(None, "its-uid")
    assert await events.settle() == []


async def test_events_above_the_rate_limit_are_dropped_and_counted() -> None:
    events = EventClient()
    for number in range(500):
        events.recorder.record(event(f"bound {number}"), "its-uid")
    assert len(await events.settle()) == 50
    assert events.recorder.dropped == 450
    events.seconds = 2.0
    for number in range(500, 600):
        events.recorder.record(event(f"bound {number}"), "its-uid")
    assert len(await events.settle()) == 60


async def test_events_of_routes_are_not_dropped_because_of_a_wave_of_events_of_links() -> None:
    events = EventClient()
    for number in range(500):
        events.recorder.record(event(f"bound {number}"), "its-uid")
    for note in ("lost", "back"):
        events.recorder.record(Event(STATEFUL_ROUTE, "play", "game", EventType.NORMAL, "Observe", "-", note), "uid")
    assert (await events.settle())[:2] == ["lost", "back"]
    assert len(events.posted) == 52


async def test_a_tenant_with_many_events_does_not_silence_another_one() -> None:
    events = EventClient()
    for second in range(10):
        events.seconds = float(second)
        for number in range(100):
            events.recorder.record(event(f"busy {second}.{number}", name=f"busy-{number % 20}.alice"), "its-uid")
        events.recorder.record(event(f"quiet {second}", "game.bob", "quiet"), "its-uid")
        await events.settle()
        assert f"quiet {second}" in [posted["note"] for posted in events.posted]
    assert len(events.posted) <= 50 + 5 * 10


async def test_a_route_with_many_events_does_not_silence_another_one_of_its_namespace() -> None:
    events = EventClient()
    for number in range(500):
        events.recorder.record(event(f"busy {number}", "busy.alice"), "its-uid")
    events.recorder.record(event("quiet", "game.bob"), "its-uid")
    assert "quiet" in (await events.settle())[:2]


async def test_waiting_events_are_limited_however_many_tenants_there_are() -> None:
    events = EventClient()
    for number in range(10_000):
        events.recorder.record(event(f"bound {number}", "game.alice", f"play-{number}"), "its-uid")
    assert events.recorder.dropped == 10_000 - 200


async def test_an_event_has_the_time_at_which_it_was_recorded() -> None:
    events = EventClient()
    events.recorder._clock = lambda: datetime(2026, 6, 1, 13, tzinfo=UTC)  # noqa: SLF001 - a later time
    events.recorder.record(event(), "its-uid")
    events.recorder._clock = lambda: datetime(2026, 6, 1, 14, tzinfo=UTC)  # noqa: SLF001
    await events.settle()
    assert events.posted[0]["eventTime"] == "2026-06-01T13:00:00.000000Z"


async def test_a_write_that_hangs_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statefulroute.cluster.events._WRITE_SECONDS", 0.01)
    events = EventClient()
    writing = asyncio.create_task(events.recorder.run())
    for number in range(10):
        events.recorder.record(event(f"hanging {number}"), "its-uid")
        events.recorder.record(event(f"written {number}", namespace="other"), "its-uid")
    async with asyncio.timeout(5):
        while len(events.posted) < 10:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
    assert [posted["note"] for posted in events.posted] == [f"written {number}" for number in range(10)]
    assert len(events.paths) == 11  # the namespace whose event hung pauses
    events.seconds = 30.0
    events.recorder.record(event("written 10", namespace="other"), "its-uid")
    async with asyncio.timeout(5):
        while len(events.paths) < 13:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await events.recorder.shut_down()
    writing.cancel()


async def test_a_namespace_whose_events_are_refused_pauses_alone() -> None:
    events = EventClient()
    events.refusal.retry_after_seconds = 8.0
    for number in range(3):
        for namespace in ("busy", "other"):
            events.recorder.record(event(f"{namespace} {number}", namespace=namespace), "its-uid")
    assert await events.settle() == ["other 0", "other 1", "other 2"]
    assert len([path for path in events.paths if "/busy/" in path]) == 1
    events.seconds = 7.9
    assert len(await events.settle()) == 3
    events.seconds, events.refused_namespace = 10.1, ""
    assert (await events.settle())[3:] == ["busy 1", "busy 2"]


async def test_queued_events_are_limited() -> None:
    events = EventClient()
    for seconds in range(20):
        events.seconds = float(seconds)
        for number in range(10):
            events.recorder.record(event(f"bound {seconds}.{number}"), "its-uid")
    assert len(await events.settle()) == 50


async def test_a_dropped_event_may_be_recorded_later() -> None:
    events = EventClient()
    for number in range(51):
        events.recorder.record(event(f"bound {number}"), "its-uid")
    await events.settle()
    events.seconds = 1.0
    events.recorder.record(event("bound 50"), "its-uid")
    assert (await events.settle())[-1] == "bound 50"


async def test_an_event_that_cannot_be_written_does_not_stop_the_next_one() -> None:
    events = EventClient()
    events.fails = True
    events.recorder.record(event("lost"), "its-uid")
    await events.settle()
    events.fails = False
    events.recorder.record(event("written"), "its-uid")
    assert await events.settle() == ["written"]


async def test_shutdown_writes_the_event_in_progress_and_drops_the_queued_ones() -> None:
    events = EventClient()
    events.may_respond.clear()
    writing = asyncio.create_task(events.recorder.run())
    for number in range(3):
        events.recorder.record(event(str(number)), "its-uid")
    await asyncio.sleep(0)
    shutdown = asyncio.create_task(events.recorder.shut_down())
    done, _ = await asyncio.wait([shutdown], timeout=0.05)
    assert not done, "the request is still in progress"
    events.may_respond.set()
    await shutdown
    assert ([posted_event["note"] for posted_event in events.posted], events.recorder.dropped) == (["0"], 2)
    writing.cancel()


async def test_a_long_link_name_leaves_room_for_the_unique_suffix() -> None:
    events = EventClient()
    events.recorder.record(event(name="game." + "a" * 190 + "." + "b" * 50), "its-uid")
    await events.settle()
    (posted,) = events.posted
    assert len(posted["metadata"]["name"]) <= 253
