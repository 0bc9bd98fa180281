"""The recorder: each event once, and not more than people can read."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from statefulroute.api.group import POD_LINK
from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import UnreachableError
from statefulroute.cluster.events import EventRecorder
from statefulroute.domain.events import Event, EventType


class Board:
    """Where events are posted, and the clocks of the recorder that posts them."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.seconds = 0.0
        self.fails = False
        self.answers = asyncio.Event()
        self.answers.set()
        self.recorder = EventRecorder(
            cast("Client", self), "operator-0", lambda: datetime(2026, 6, 1, 12, tzinfo=UTC), lambda: self.seconds
        )

    async def post(self, path: str, body: bytes) -> bytes:
        """Take the place of the client's method."""
        if self.fails:
            raise UnreachableError("no answer")
        assert path == "/apis/events.k8s.io/v1/namespaces/play/events"
        await self.answers.wait()
        self.posted.append(msgspec.json.decode(body))
        return b"{}"

    async def settle(self) -> list[str]:
        """Let the recorder write what it has; gives the notes of all that it has written."""
        writing = asyncio.create_task(self.recorder.run())
        for _ in range(200):
            await asyncio.sleep(0)
        writing.cancel()
        return [event["note"] for event in self.posted]


def event(note: str = "bound", name: str = "game.alice") -> Event:
    return Event(POD_LINK, "play", name, EventType.NORMAL, "Bind", "Bound", note)


async def test_an_event_tells_of_its_link_so_that_kubectl_describe_finds_it() -> None:
    board = Board()
    board.recorder.record(event(), "its-uid")
    await board.settle()
    (posted,) = board.posted
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


async def test_the_same_event_is_not_told_again_within_ten_minutes() -> None:
    board = Board()
    for seconds in (0.0, 1.0, 599.0, 601.0):
        board.seconds = seconds
        board.recorder.record(event(), "its-uid")
    assert await board.settle() == ["bound", "bound"]


async def test_a_link_that_was_made_anew_has_events_of_its_own() -> None:
    board = Board()
    board.recorder.record(event(), "first")
    board.recorder.record(event(), "second")
    await board.settle()
    assert [each["regarding"]["uid"] for each in board.posted] == ["first", "second"]


async def test_nothing_is_told_of_what_is_no_event() -> None:
    board = Board()
    board.recorder.record(None, "its-uid")
    assert await board.settle() == []


async def test_of_a_wave_only_so_many_are_told_and_the_others_counted() -> None:
    board = Board()
    for number in range(500):
        board.recorder.record(event(f"bound {number}"), "its-uid")
    assert len(await board.settle()) == 50
    assert board.recorder.dropped == 450
    board.seconds = 2.0
    for number in range(500, 600):
        board.recorder.record(event(f"bound {number}"), "its-uid")
    assert len(await board.settle()) == 60


async def test_an_event_that_was_dropped_may_be_told_later() -> None:
    board = Board()
    for number in range(51):
        board.recorder.record(event(f"bound {number}"), "its-uid")
    await board.settle()
    board.seconds = 1.0
    board.recorder.record(event("bound 50"), "its-uid")
    assert (await board.settle())[-1] == "bound 50"


async def test_an_event_that_cannot_be_written_is_lost_and_the_next_one_is_not() -> None:
    board = Board()
    board.fails = True
    board.recorder.record(event("lost"), "its-uid")
    await board.settle()
    board.fails = False
    board.recorder.record(event("told"), "its-uid")
    assert await board.settle() == ["told"]


async def test_at_the_end_the_event_that_is_under_way_is_written_and_those_that_wait_are_dropped() -> None:
    board = Board()
    board.answers.clear()
    writing = asyncio.create_task(board.recorder.run())
    for number in range(3):
        board.recorder.record(event(str(number)), "its-uid")
    await asyncio.sleep(0)
    ending = asyncio.create_task(board.recorder.shut_down())
    done, _ = await asyncio.wait([ending], timeout=0.05)
    assert not done, "there was no answer yet"
    board.answers.set()
    await ending
    assert ([each["note"] for each in board.posted], board.recorder.dropped) == (["0"], 2)
    writing.cancel()


async def test_a_long_name_leaves_room_for_what_makes_the_events_name_unique() -> None:
    board = Board()
    board.recorder.record(event(name="game." + "a" * 190 + "." + "b" * 50), "its-uid")
    await board.settle()
    (posted,) = board.posted
    assert len(posted["metadata"]["name"]) <= 253
