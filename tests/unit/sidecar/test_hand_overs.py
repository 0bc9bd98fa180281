"""Hand-overs by the sidecar: an application that takes part is asked, and confirms."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from driver.subjects import SidecarSubject
from support.waiting import wait_until
from unit.sidecar.conftest import RunningSidecar, RunSidecar


@asynccontextmanager
async def stream_of(sidecar: RunningSidecar, last_event_id: str | None = None, **query: str) -> AsyncIterator["Stream"]:
    """Opens a stream of events, and reads its state if it begins with one."""
    events = SidecarSubject(sidecar.http, sidecar.url).stream(last_event_id, query)
    stream = Stream(events)
    try:
        if last_event_id is None:
            stream.state = await stream.next("state")
        yield stream
    finally:
        await events.aclose()  # type: ignore[attr-defined]


class Stream:
    """An open stream of events."""

    def __init__(self, events: AsyncIterator[tuple[str | None, str, dict[str, Any]]]) -> None:
        self._events = events
        self.last_id: str | None = None
        self.state: dict[str, Any] = {}

    async def next(self, *names: str) -> dict[str, Any]:
        """Returns the data of the next event with one of the names; skips others."""
        async with asyncio.timeout(20):
            while True:
                event_id, name, data = await anext(self._events)
                self.last_id = event_id or self.last_id
                if name in names:
                    return data


async def bind(sidecar: RunningSidecar, *uids: str) -> None:
    for uid in uids:
        assert (await sidecar.request("PUT", f"/v1/routes/game/links/{uid}"))[0] == 200


async def test_the_application_is_asked_and_confirms(run_sidecar: RunSidecar) -> None:
    async with run_sidecar() as sidecar, stream_of(sidecar, handOver="true") as stream:
        await bind(sidecar, "alice")
        sidecar.cluster.hand_over("game", "alice", 2)
        leaving = await stream.next("leaving")
        request = await stream.next("hand-over")
        assert leaving == {name: request[name] for name in leaving}
        assert (request["uid"], request["to"]) == ("alice", {"podIndex": 2, "podName": None})
        path = f"/v1/hand-overs/{request['id']}/confirm"
        assert await sidecar.request("POST", path) == (204, None)
        assert (await stream.next("left"))["uid"] == "alice"
        assert sidecar.cluster.links("game") == {"alice": 2}
        status, problem = await sidecar.request("POST", path)
        assert (status, problem["type"].rpartition(":")[2]) == (404, "no-such-hand-over")


async def test_without_a_client_that_takes_part_no_handler_is_called(run_sidecar: RunSidecar) -> None:
    async with run_sidecar() as sidecar, stream_of(sidecar) as listener, stream_of(sidecar, handOver="false"):
        await bind(sidecar, "alice", "bob")
        sidecar.cluster.hand_over("game", "alice", 2)
        assert (await listener.next("leaving"))["uid"] == "alice"
        # It begins as soon as a client takes part, and stops with the last one.
        async with stream_of(sidecar, handOver="true") as first:
            request = await first.next("hand-over")
            async with stream_of(sidecar, handOver="true") as second:
                assert second.state["handOvers"] == [request]
        await wait_until(lambda: not has_handler(sidecar), "no client takes part")
        sidecar.cluster.hand_over("game", "bob", 1)
        assert (await listener.next("leaving"))["uid"] == "bob"
        await sidecar.request("POST", f"/v1/hand-overs/{request['id']}/confirm")  # it was asked before
        assert await listener.next("left", "hand-over") == {"route": "game", "uid": "alice", "reason": "Unbound"}
        assert sidecar.cluster.links("game") == {"alice": 2, "bob": 0}
        sidecar.cluster.end_hand_over("game", "bob")
        assert (await listener.next("left", "hand-over"))["uid"] == "bob"


def has_handler(sidecar: RunningSidecar) -> bool:
    return sidecar.driver._leaving_handler is not None  # noqa: SLF001 - no public method tells it


async def test_a_withdrawn_hand_over_cannot_be_confirmed(run_sidecar: RunSidecar) -> None:
    async with run_sidecar() as sidecar, stream_of(sidecar, handOver="true") as stream:
        await bind(sidecar, "alice")
        sidecar.cluster.hand_over("game", "alice", 2)
        request = await stream.next("hand-over")
        sidecar.cluster.withdraw_hand_over("game", "alice")
        assert (await stream.next("staying"))["uid"] == "alice"
        assert (await sidecar.request("POST", f"/v1/hand-overs/{request['id']}/confirm"))[0] == 404
        async with stream_of(sidecar) as later:
            assert later.state["handOvers"] == []
        assert sidecar.cluster.links("game") == {"alice": 0}


async def test_a_hand_over_to_another_pod_is_another_one(run_sidecar: RunSidecar) -> None:
    async with run_sidecar() as sidecar, stream_of(sidecar, handOver="true") as stream:
        await bind(sidecar, "alice")
        sidecar.cluster.hand_over("game", "alice", 2)
        first = await stream.next("hand-over")
        sidecar.cluster.hand_over("game", "alice", 1)
        second = await stream.next("hand-over")
        assert (second["to"]["podIndex"], first["id"] == second["id"]) == (1, False)
        assert (await sidecar.request("POST", f"/v1/hand-overs/{first['id']}/confirm"))[0] == 404
        assert (await sidecar.request("POST", f"/v1/hand-overs/{second['id']}/confirm"))[0] == 204
        await stream.next("left")
        assert sidecar.cluster.links("game") == {"alice": 1}


async def test_a_client_that_reconnects_goes_on_with_its_hand_overs(run_sidecar: RunSidecar) -> None:
    async with run_sidecar() as sidecar:
        async with stream_of(sidecar, handOver="true") as stream:
            await bind(sidecar, "alice", "bob")
            sidecar.cluster.hand_over("game", "alice", 2)
            alice = await stream.next("hand-over")
        await wait_until(lambda: not has_handler(sidecar), "no client takes part")
        sidecar.cluster.hand_over("game", "bob", 1)
        async with stream_of(sidecar, stream.last_id, handOver="true") as again:
            bob = await again.next("hand-over")
            for request in (alice, bob):
                assert (await sidecar.request("POST", f"/v1/hand-overs/{request['id']}/confirm"))[0] == 204
                assert (await again.next("left"))["uid"] == request["uid"]


@pytest.mark.parametrize("hand_over_id", ["x", "..", "%2e%2e", "a" * 5000, "-h1", "%00"])
async def test_unknown_hand_overs(run_sidecar: RunSidecar, hand_over_id: str) -> None:
    async with run_sidecar() as sidecar:
        url = sidecar.raw_url(f"/v1/hand-overs/{hand_over_id}/confirm")
        async with sidecar.http.post(url) as response:
            assert response.status == 404
            assert (await response.json(content_type=None))["type"].endswith("no-such-hand-over")


@pytest.mark.parametrize("value", ["", "True", "1", "true&handOver=true"])
async def test_a_client_takes_part_or_not(run_sidecar: RunSidecar, value: str) -> None:
    async with run_sidecar() as sidecar:
        assert (await sidecar.get(f"/v1/events?handOver={value}"))[0] == 400
        assert not has_handler(sidecar)
