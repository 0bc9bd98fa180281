"""Slots in the sidecar: which the pod has, whom it holds by them, and how they are handed over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from statefulroute import HandOverConfiguration, HandOverError, LeavingSlot
from statefulroute.domain.slots.hashing import slot_of
from statefulroute.rest.problems import ProblemError
from statefulroute.sidecar.leaving import SlotRequest
from statefulroute.testing import InMemoryCluster
from support.waiting import wait_until
from unit.sidecar.conftest import RunningSidecar, RunSidecar
from unit.sidecar.test_hand_overs import Stream, kind_of, read_state, stream_of

SLOTS = 3

#: Users of slot 0, which is at the first pod, and one of slot 2, which is at the third.
ALICE, BOB, *_ = (uid for number in range(40) if slot_of(uid := f"user-{number}", SLOTS) == 0)
CAROL = next(uid for number in range(40) if slot_of(uid := f"user-{number}", SLOTS) == 2)


def slotted_cluster() -> InMemoryCluster:
    cluster = InMemoryCluster("play")
    cluster.add_service("game", pods=SLOTS, slots=SLOTS, hand_over_seconds=3600)
    return cluster


async def test_slots_and_the_users_that_the_pod_holds_by_them(run_sidecar: RunSidecar) -> None:
    async with run_sidecar(cluster=slotted_cluster()) as sidecar:
        expected: dict[str, Any] = {"route": "game", "slots": [0], "numberOfSlots": SLOTS}
        assert await sidecar.get("/v1/slots") == await sidecar.get("/v1/slots?route=game") == (200, expected)
        sidecar.cluster.set_slot("game", 1, 0)
        assert (await sidecar.get("/v1/slots"))[1]["slots"] == [0, 1]
        held = {"route": "game", "uid": ALICE, "owned": True, "slot": 0}
        assert await sidecar.get(f"/v1/users/{ALICE}") == (200, held)
        assert await sidecar.get(f"/v1/users/{CAROL}") == (200, held | {"uid": CAROL, "owned": False, "slot": 2})
        await sidecar.request("PUT", f"/v1/routes/game/links/{CAROL}")
        assert (await sidecar.get(f"/v1/users/{CAROL}?route=game"))[1]["owned"]
        for path in ("slots?x=1", "slots?route=lobby", f"users/{ALICE}?route=lobby", "users/a%00b"):
            assert kind_of(await sidecar.get(f"/v1/{path}")) == (400, "invalid-parameter")


async def test_a_route_without_slots(run_sidecar: RunSidecar) -> None:
    async with run_sidecar() as sidecar:
        assert (await sidecar.get("/v1/slots"))[1] == {"route": "game", "slots": [], "numberOfSlots": None}
        assert (await sidecar.get("/v1/users/alice"))[1] == {
            "route": "game",
            "uid": "alice",
            "owned": False,
            "slot": None,
        }
        status, problem = await sidecar.get("/v1/users/alice/token")
        assert (status, "consistency" in problem["detail"]) == (404, False)


async def test_tokens_of_users_of_slots_are_read_from_the_api_server(run_sidecar: RunSidecar) -> None:
    async with run_sidecar(cluster=slotted_cluster()) as sidecar:
        path = f"/v1/users/{ALICE}/token"
        status, problem = await sidecar.get(path)
        assert (status, problem["type"].rpartition(":")[2]) == (404, "user-not-held")
        assert problem["detail"].endswith("use ?consistency=strong")
        by_slot = (await sidecar.get(f"{path}?consistency=strong"))[1]["token"]
        await sidecar.request("PUT", f"/v1/routes/game/links/{ALICE}")
        by_link = (await sidecar.get(f"{path}?consistency=cached"))[1]["token"]
        assert by_slot < by_link == (await sidecar.get(f"{path}?route=game&consistency=strong"))[1]["token"]
        assert kind_of(await sidecar.get(f"/v1/users/{CAROL}/token?consistency=strong")) == (404, "user-not-held")
        assert kind_of(await sidecar.get(f"{path}?consistency=maybe")) == (400, "invalid-parameter")


@asynccontextmanager
async def leaving(
    run_sidecar: RunSidecar,
) -> AsyncIterator[tuple[RunningSidecar, RunningSidecar, Stream, Stream, dict[str, Any]]]:
    """Asks a pod to hand over slot 0; yields it and the new pod, their streams, and the request to the application."""
    configuration = HandOverConfiguration()
    async with (
        run_sidecar(cluster=slotted_cluster(), hand_over=configuration) as old,
        run_sidecar(cluster=old.cluster, pod=1, hand_over=configuration) as new,
        stream_of(old, handOver="true") as events,
        stream_of(new, handOver="true") as arrivals,
    ):
        assert [each["slot"] for each in events.state["slots"]] == [0]
        old.cluster.hand_over("game", 0, 1)
        event = await events.next("slot-leaving")
        asked = await events.next("slot-hand-over")
        assert event == {name: asked[name] for name in event}
        assert (asked["slot"], asked["to"]) == (0, {"podIndex": 1, "podName": None})
        async with stream_of(old) as later:
            assert later.state["slotHandOvers"] == [asked]
            assert later.state["handOvers"] == []
        yield old, new, events, arrivals, asked


def put(sidecar: RunningSidecar, asked: dict[str, Any], uid: str, state: Any) -> "asyncio.Task[tuple[int, Any]]":
    path = f"/v1/hand-overs/{asked['id']}/users/{uid}/state"
    return asyncio.create_task(sidecar.request("PUT", path, data=state))


async def take(sidecar: RunningSidecar, stream: Stream) -> tuple[str, bytes]:
    """Takes the state of the next user that arrives."""
    request = await stream.next("arriving")
    state = await read_state(sidecar, request)
    assert await sidecar.request("POST", f"/v1/arrivals/{request['id']}/confirm") == (204, None)
    return request["uid"], state


async def test_the_states_of_the_users_of_a_slot_arrive_before_it(run_sidecar: RunSidecar) -> None:
    async with leaving(run_sidecar) as (old, new, events, arrivals, asked):
        confirm = f"/v1/hand-overs/{asked['id']}/confirm"
        states = {uid: uid.encode() for uid in (ALICE, BOB)}
        sending = [put(old, asked, uid, state) for uid, state in states.items()]
        assert dict([await take(new, arrivals), await take(new, arrivals)]) == states
        assert await asyncio.gather(*sending) == [(204, None)] * 2
        assert kind_of(await put(old, asked, CAROL, b"x")) == (400, "invalid-parameter")
        assert kind_of(await old.request("PUT", f"/v1/hand-overs/{asked['id']}/state", data=b"x")) == (
            400,
            "invalid-parameter",
        )
        assert old.cluster.slots("game")[0] == 0
        # What is being sent arrives before the slot, too.
        last = put(old, asked, ALICE, b"newer")
        request = await arrivals.next("arriving")
        confirming = asyncio.create_task(old.request("POST", confirm))
        assert await read_state(new, request) == b"newer"
        assert old.cluster.slots("game")[0] == 0
        await new.request("POST", f"/v1/arrivals/{request['id']}/confirm")
        assert await asyncio.gather(last, confirming) == [(204, None)] * 2
        assert (await events.next("slot-left"))["slot"] == 0
        assert (await arrivals.next("slot-arrived"))["slot"] == 0
        assert old.cluster.slots("game")[0] == 1
        assert kind_of(await put(old, asked, ALICE, b"late")) == (404, "no-such-hand-over")
        assert kind_of(await old.request("POST", confirm)) == (404, "no-such-hand-over")


async def test_a_slot_is_not_moved_if_the_last_state_is_refused() -> None:
    answer = asyncio.get_running_loop().create_future()

    async def send(_: str, __: object) -> None:
        await answer

    async def state() -> AsyncIterator[bytes]:
        yield b"state"

    request = SlotRequest(LeavingSlot("game", 0, 1, datetime.now(UTC), _slots=1, _send=send))
    running = asyncio.create_task(request.run())
    sending = asyncio.create_task(request.send("alice", state()))
    confirming = asyncio.create_task(request.confirm())
    await wait_until(lambda: bool(request._sending) and request._confirmations.empty(), "it waits")  # noqa: SLF001
    answer.set_exception(HandOverError("the new pod has refused the user"))
    for each in (sending, confirming):
        with pytest.raises(HandOverError):
            await each
    assert not running.done()
    await request.confirm()
    await running


async def test_a_state_that_is_being_sent_ends_with_the_hand_over() -> None:
    async def send(_: str, __: object) -> None:
        await asyncio.Event().wait()

    async def state() -> AsyncIterator[bytes]:
        yield b"state"

    request = SlotRequest(LeavingSlot("game", 0, 1, datetime.now(UTC), _slots=1, _send=send))
    running = asyncio.create_task(request.run())
    sending = asyncio.create_task(request.send("alice", state()))
    await wait_until(lambda: bool(request._sending), "it is sent")  # noqa: SLF001
    running.cancel()
    with pytest.raises(ProblemError):
        await sending


async def test_a_withdrawn_slot_stays_and_its_users_do_not_arrive(run_sidecar: RunSidecar) -> None:
    async with leaving(run_sidecar) as (old, new, events, arrivals, asked):
        sending = put(old, asked, BOB, b"state")
        assert await take(new, arrivals) == (BOB, b"state")
        assert await sending == (204, None)
        sending = put(old, asked, ALICE, b"state")
        await arrivals.next("arriving")
        confirming = asyncio.create_task(old.request("POST", f"/v1/hand-overs/{asked['id']}/confirm"))
        old.cluster.withdraw_hand_over("game", 0)
        ends = await asyncio.gather(sending, confirming)
        assert [kind_of(each) for each in ends] == [(404, "no-such-hand-over")] * 2
        assert (await events.next("slot-staying"))["slot"] == 0
        assert (await arrivals.next("arrival-cancelled"))["uid"] == BOB
        async with stream_of(old) as later:
            assert (later.state["slotHandOvers"], len(later.state["slots"])) == ([], 1)


async def test_the_hand_over_of_a_user_takes_no_states_of_others(run_sidecar: RunSidecar) -> None:
    async with run_sidecar(cluster=slotted_cluster()) as sidecar, stream_of(sidecar, handOver="true") as stream:
        await sidecar.request("PUT", f"/v1/routes/game/links/{ALICE}")
        sidecar.cluster.hand_over("game", ALICE, 2)
        asked = await stream.next("hand-over")
        assert kind_of(await put(sidecar, asked, ALICE, b"x")) == (400, "invalid-parameter")
