"""Hand-overs by the sidecar: an application that takes part is asked, and confirms."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientError

from driver.subjects import SidecarSubject
from statefulroute import ArrivalCancelled, ArrivingUser, HandOverConfiguration, InvalidParameterError
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


# The states of users.


@asynccontextmanager
async def two_pods(
    run_sidecar: RunSidecar, max_state_bytes: int = 4 * 2**20
) -> AsyncIterator[tuple[RunningSidecar, RunningSidecar]]:
    """Runs the sidecars of two pods; alice is at the first."""
    configuration = HandOverConfiguration(max_state_bytes=max_state_bytes)
    async with (
        run_sidecar(hand_over=configuration) as old,
        run_sidecar(cluster=old.cluster, pod=2, hand_over=configuration) as new,
    ):
        await bind(old, "alice")
        yield old, new


async def read_state(sidecar: RunningSidecar, request: dict[str, Any]) -> bytes:
    async with sidecar.http.get(f"{sidecar.url}/v1/arrivals/{request['id']}/state") as response:
        assert (response.status, response.content_type) == (200, "application/octet-stream")
        return await response.read()


def put_state(sidecar: RunningSidecar, request: dict[str, Any], state: Any) -> "asyncio.Task[tuple[int, Any]]":
    path = f"/v1/hand-overs/{request['id']}/state"
    return asyncio.create_task(sidecar.request("PUT", path, data=state))


def kind_of(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["type"].rpartition(":")[2]


@pytest.mark.parametrize("state", [b"", b"x", bytes(range(256)) * 4000], ids=["empty", "small", "a megabyte"])
async def test_a_state_reaches_the_new_pod_before_the_user(run_sidecar: RunSidecar, state: bytes) -> None:
    async with (
        two_pods(run_sidecar) as (old, new),
        stream_of(old, handOver="true") as leaving,
        stream_of(new, handOver="true") as arriving,
    ):
        old.cluster.hand_over("game", "alice", 2)
        putting = put_state(old, await leaving.next("hand-over"), state)
        request = await arriving.next("arriving")
        assert (request["uid"], request["origin"]) == ("alice", {"podIndex": 0, "podName": None})
        async with stream_of(new) as later:
            assert later.state["arrivals"] == [request]
        assert await read_state(new, request) == state
        assert old.cluster.links("game") == {"alice": 0}
        assert await new.request("POST", f"/v1/arrivals/{request['id']}/confirm") == (204, None)
        assert await putting == (204, None)
        assert (await arriving.next("arrived"))["uid"] == "alice"
        assert (await leaving.next("left"))["uid"] == "alice"
        assert kind_of(await new.request("POST", f"/v1/arrivals/{request['id']}/confirm")) == (404, "no-such-hand-over")


async def test_a_refused_state_can_be_sent_again_or_not(run_sidecar: RunSidecar) -> None:
    async with (
        two_pods(run_sidecar) as (old, new),
        stream_of(old, handOver="true") as leaving,
        stream_of(new, handOver="true") as arriving,
    ):
        old.cluster.hand_over("game", "alice", 2)
        asked = await leaving.next("hand-over")
        putting = put_state(old, asked, b"first")
        request = await arriving.next("arriving")
        assert await new.request("POST", f"/v1/arrivals/{request['id']}/refuse") == (204, None)
        assert kind_of(await putting) == (502, "hand-over-failed")
        assert old.cluster.links("game") == {"alice": 0}
        putting = put_state(old, asked, b"second")
        request = await arriving.next("arriving")
        assert await read_state(new, request) == b"second"
        answer = await new.get(f"/v1/arrivals/{request['id']}/state")
        assert kind_of(answer) == (409, "state-was-read")
        await new.request("POST", f"/v1/arrivals/{request['id']}/confirm")
        assert await putting == (204, None)
        await leaving.next("left")


async def test_a_pod_without_a_client_that_takes_part_takes_no_state(run_sidecar: RunSidecar) -> None:
    async with two_pods(run_sidecar) as (old, _), stream_of(old, handOver="true") as leaving:
        old.cluster.hand_over("game", "alice", 2)
        asked = await leaving.next("hand-over")
        assert kind_of(await put_state(old, asked, b"state")) == (502, "hand-over-failed")
        assert await old.request("POST", f"/v1/hand-overs/{asked['id']}/confirm") == (204, None)
        await leaving.next("left")
        assert old.cluster.links("game") == {"alice": 2}


async def test_a_state_that_is_too_large(run_sidecar: RunSidecar) -> None:
    async with (
        two_pods(run_sidecar, max_state_bytes=1000) as (old, new),
        stream_of(old, handOver="true") as leaving,
        stream_of(new, handOver="true") as arriving,
    ):
        old.cluster.hand_over("game", "alice", 2)
        putting = put_state(old, await leaving.next("hand-over"), b"x" * 1001)
        request = await arriving.next("arriving")
        answer = await new.get(f"/v1/arrivals/{request['id']}/state")
        assert kind_of(answer) == (413, "state-too-large")
        assert kind_of(await putting) == (413, "state-too-large")
        assert old.cluster.links("game") == {"alice": 0}


async def test_an_application_that_breaks_off_while_it_sends(run_sidecar: RunSidecar) -> None:
    """The new pod sees no shorter state, and the application may send it again."""

    async def half() -> AsyncIterator[bytes]:
        yield b"half"
        await asyncio.Event().wait()

    async with (
        two_pods(run_sidecar) as (old, new),
        stream_of(old, handOver="true") as leaving,
        stream_of(new, handOver="true") as arriving,
    ):
        old.cluster.hand_over("game", "alice", 2)
        asked = await leaving.next("hand-over")
        putting = put_state(old, asked, half())
        request = await arriving.next("arriving")
        reading = asyncio.create_task(read_state(new, request))
        await asyncio.sleep(0)
        putting.cancel()
        with pytest.raises((ClientError, AssertionError)):  # the answer breaks off, or has not begun
            await reading
        putting = put_state(old, asked, b"whole")
        request = await arriving.next("arriving")
        assert await read_state(new, request) == b"whole"
        await new.request("POST", f"/v1/arrivals/{request['id']}/confirm")
        assert await putting == (204, None)


async def test_an_application_that_breaks_off_while_it_reads(run_sidecar: RunSidecar) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"x" * 100_000
            await asyncio.sleep(0)

    async with (
        two_pods(run_sidecar, max_state_bytes=10**9) as (old, new),
        stream_of(old, handOver="true") as leaving,
        stream_of(new, handOver="true") as arriving,
    ):
        old.cluster.hand_over("game", "alice", 2)
        putting = put_state(old, await leaving.next("hand-over"), endless())
        request = await arriving.next("arriving")
        response = await new.http.get(f"{new.url}/v1/arrivals/{request['id']}/state")
        await response.content.readany()
        status, problem = await new.request("POST", f"/v1/arrivals/{request['id']}/confirm")
        assert (status, problem["type"].rpartition(":")[2]) == (409, "state-was-read")
        response.close()
        assert kind_of(await putting) == (502, "hand-over-failed")
        assert old.cluster.links("game") == {"alice": 0}


async def test_a_hand_over_that_is_withdrawn_while_the_state_is_sent(run_sidecar: RunSidecar) -> None:
    async with (
        two_pods(run_sidecar) as (old, new),
        stream_of(old, handOver="true") as leaving,
        stream_of(new, handOver="true") as arriving,
    ):
        old.cluster.hand_over("game", "alice", 2)
        putting = put_state(old, await leaving.next("hand-over"), b"state")
        request = await arriving.next("arriving")
        old.cluster.withdraw_hand_over("game", "alice")
        assert kind_of(await putting) == (404, "no-such-hand-over")
        await leaving.next("staying")
        await new.request("POST", f"/v1/arrivals/{request['id']}/confirm")
        assert old.cluster.links("game") == {"alice": 0}


async def test_a_sidecar_without_a_port_sends_no_state(run_sidecar: RunSidecar) -> None:
    async with run_sidecar() as sidecar, stream_of(sidecar, handOver="true") as stream:
        await bind(sidecar, "alice")
        sidecar.cluster.hand_over("game", "alice", 2)
        asked = await stream.next("hand-over")
        assert kind_of(await put_state(sidecar, asked, b"state")) == (502, "hand-over-failed")
        assert (await sidecar.request("POST", f"/v1/hand-overs/{asked['id']}/confirm"))[0] == 204


async def test_a_stream_that_takes_part_ends_while_the_driver_is_closed(
    run_sidecar: RunSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise InvalidParameterError("follow_users", "is over: the driver is being closed")

    async with (
        run_sidecar() as sidecar,
        sidecar.http.get(f"{sidecar.url}/v1/events?handOver=true") as response,
    ):
        await response.content.readuntil(b"event: state\n")
        monkeypatch.setattr(sidecar.driver, "on_leaving", refuse)
        sidecar.components.log.end()
        assert b"HTTP" not in await response.content.read()  # no second response


@pytest.mark.parametrize("hand_over_id", ["x", "..", "%2e%2e", "a" * 5000, "-h1", "%00"])
async def test_unknown_hand_overs(run_sidecar: RunSidecar, hand_over_id: str) -> None:
    async with run_sidecar() as sidecar:
        for method, path in (
            ("POST", "hand-overs/{}/confirm"),
            ("PUT", "hand-overs/{}/state"),
            ("GET", "arrivals/{}/state"),
            ("POST", "arrivals/{}/confirm"),
            ("POST", "arrivals/{}/refuse"),
        ):
            url = sidecar.raw_url(f"/v1/{path.format(hand_over_id)}")
            async with sidecar.http.request(method, url) as response:
                assert response.status == 404
                assert (await response.json(content_type=None))["type"].endswith("no-such-hand-over")


@pytest.mark.parametrize("value", ["", "True", "1", "true&handOver=true"])
async def test_a_client_takes_part_or_not(run_sidecar: RunSidecar, value: str) -> None:
    async with run_sidecar() as sidecar:
        assert (await sidecar.get(f"/v1/events?handOver={value}"))[0] == 400
        assert not has_handler(sidecar)


async def test_a_newer_state_follows_the_end_of_an_earlier_one(run_sidecar: RunSidecar) -> None:
    async def state() -> AsyncIterator[bytes]:
        yield b"state"

    async with (
        run_sidecar(hand_over=HandOverConfiguration()) as sidecar,
        stream_of(sidecar, handOver="true") as stream,
    ):
        take = sidecar.driver._arriving_handler  # noqa: SLF001 - what the driver calls
        assert take is not None
        deadline = datetime.now(UTC) + timedelta(seconds=60)
        taking = asyncio.create_task(take(ArrivingUser("game", "alice", 1, deadline, state(), 100)))  # type: ignore[arg-type]
        sidecar.driver._publish([ArrivalCancelled("game", "alice")])  # noqa: SLF001
        either = "arrival-cancelled", "arriving"
        cancelled, arriving = await stream.next(*either), await stream.next(*either)
        assert cancelled == {"route": "game", "uid": "alice"}
        assert await sidecar.request("POST", f"/v1/arrivals/{arriving['id']}/confirm") == (204, None)
        await taking
