"""Server drivers hold slots and hand them over, with a real control plane and an operator."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pykube.objects import Pod

from driver.test_hand_over import ask, patch, take
from driver.test_state_transfer import Pods
from localcluster import LocalCluster
from statefulroute import (
    ArrivalCancelled,
    LeaveReason,
    LeavingSlot,
    ServerDriver,
    SlotArrived,
    SlotLeaving,
    SlotLeft,
    SlotStaying,
    UserNotHeldError,
)
from statefulroute.domain.slots.hashing import slot_of
from support.independent_client import PodLink
from support.service import Service
from support.waiting import eventually, wait_until

RECIPES = Path(__file__).parents[2] / "examples/recipes"
SLOTS = 6

#: Three users of each slot.
USERS = {
    slot: [uid for number in range(90) if slot_of(uid := f"user-{number}", SLOTS) == slot][:3] for slot in range(SLOTS)
}


@pytest.fixture(scope="module")
def slotted(shared_service: Service) -> Service:
    """The service of the module, with slots."""
    shared_service.edit_route(slots=SLOTS, handOver={"timeoutSeconds": 600})
    shared_service.await_all_bound(SLOTS)
    return shared_service


@pytest.fixture
def pods(in_a_pod: pytest.MonkeyPatch, cluster: LocalCluster, slotted: Service, tmp_path: Path) -> Iterator[Pods]:
    del in_a_pod
    yield Pods(cluster, slotted, tmp_path)
    for link in slotted.links():
        if "uid" in link["spec"]:
            slotted.client.delete(PodLink, link["metadata"]["name"], slotted.namespace)


def reported_state(service: Service, pod: int) -> str:
    """Returns the routing state that a pod reports."""
    annotations = service.client.get(Pod, service.pod_name(pod), service.namespace)["metadata"].get("annotations", {})
    return str(annotations.get("statefulroute.io/routing-state", "Ready"))


def published_states(service: Service) -> list[str]:
    """Returns the routing states of the pods in the route's status, by index."""
    listed = service.route_status()["pods"]
    return [pod["routingState"] for pod in sorted(listed, key=lambda pod: pod["index"])]


@asynccontextmanager
async def drivers(environment: pytest.MonkeyPatch, pods: Pods) -> AsyncIterator[list[ServerDriver]]:
    """Runs the drivers of the three pods, which hold two slots each: pod 0 has slots 0 and 3."""

    def place() -> None:
        eventually(lambda: published_states(pods.service) == ["Ready"] * 3, "all pods take users")
        for slot in range(SLOTS):
            patch(pods.service, f"x-slot-{slot}", podIndex=slot % 3, handOver=None)
        pods.service.await_all_bound(SLOTS)

    def await_published() -> None:
        """Waits until the operator has seen the states that the last test left: they are not the next ones."""
        eventually(
            lambda: published_states(pods.service) == [reported_state(pods.service, pod) for pod in range(3)],
            "the operator has seen the states of all pods",
        )

    await asyncio.to_thread(await_published)
    async with AsyncExitStack() as stack:
        running = [await stack.enter_async_context(pods.driver(environment, pod)) for pod in range(3)]
        await asyncio.to_thread(place)
        for pod, driver in enumerate(running):
            await wait_until(lambda held={pod, pod + 3}, driver=driver: driver.slots() == held, "the pod has its slots")
        yield running


async def arrived(driver: ServerDriver) -> AsyncIterator[Any]:
    """Returns the events of a driver after those of its two slots."""
    events = driver.events()
    assert {event.slot for event in await take(events, 2)} == driver.slots()
    return events


class Application:
    """Sends the states of the users of a slot, and lets a test go on."""

    def __init__(self) -> None:
        self.is_sent, self.may_return = asyncio.Event(), asyncio.Event()

    async def save(self, slot: LeavingSlot) -> None:
        for uid in filter(slot.has, (uid for uids in USERS.values() for uid in uids)):
            await slot.send(uid, f"state of {uid}".encode())
        self.is_sent.set()
        await self.may_return.wait()


def states(*slots: int) -> dict[str, bytes]:
    return {uid: f"state of {uid}".encode() for slot in slots for uid in USERS[slot]}


async def test_slots_of_a_drained_pod_leave_with_the_states_of_their_users(
    in_a_pod: pytest.MonkeyPatch, pods: Pods
) -> None:
    application = Application()
    application.may_return.set()
    async with drivers(in_a_pod, pods) as (old, *others):
        events = await arrived(old)
        old.on_slot_leaving(application.save)
        pods.service.edit_route(pods=[{"index": 0, "routingState": "DenyNewCall"}])
        try:
            seen = await take(events, 4)
            assert {(type(event), event.slot) for event in seen} == {
                (kind, slot) for kind in (SlotLeaving, SlotLeft) for slot in (0, 3)
            }
            assert old.slots() == set()
            assert pods.received == states(0, 3)  # before the slots arrive
            await wait_until(lambda: {0, 3} <= others[0].slots() | others[1].slots(), "they have arrived")
            assert [any(driver.owns(uid) for driver in others) for uid in states(0, 3)] == [True] * 6
            await asyncio.to_thread(pods.service.await_all_bound, SLOTS)
            for slot in (0, 3):  # the time-out of the operator is ten minutes
                link = pods.service.get(f"game.x-slot-{slot}")
                assert "handOver" not in link["spec"]
                assert link["status"]["previous"]["podIndex"] == 0
        finally:
            pods.service.edit_route(pods=None)


async def test_server_that_stops_hands_its_slots_over(in_a_pod: pytest.MonkeyPatch, pods: Pods) -> None:
    application = Application()
    application.may_return.set()
    async with drivers(in_a_pod, pods) as (old, *_):
        old.on_slot_leaving(application.save)
        await old.stop(20)  # as on SIGTERM
        assert old.slots() == set()
        assert pods.received == states(0, 3)


async def test_hand_over_of_a_slot_is_withdrawn_and_asked_for_again(in_a_pod: pytest.MonkeyPatch, pods: Pods) -> None:
    application = Application()
    async with drivers(in_a_pod, pods) as (old, new, _):
        leaving, arrivals = await arrived(old), await arrived(new)
        old.on_slot_leaving(application.save)
        await asyncio.to_thread(ask, pods.service, "x-slot-3", 1)
        async with asyncio.timeout(20):
            await application.is_sent.wait()
        await asyncio.to_thread(patch, pods.service, "x-slot-3", handOver=None)
        assert (await take(leaving, 2))[1] == SlotStaying("game", 3)
        assert await take(arrivals, 3) == [ArrivalCancelled("game", uid) for uid in USERS[3]]
        application.may_return.set()
        await asyncio.to_thread(ask, pods.service, "x-slot-3", 1)
        assert (await take(leaving, 2))[1] == SlotLeft("game", 3, LeaveReason.UNBOUND)
        assert await take(arrivals) == [SlotArrived("game", 3, 0)]
        assert pods.received == states(3)


async def test_pod_that_is_killed_in_between_leaves_the_states_that_it_has_sent(
    in_a_pod: pytest.MonkeyPatch, pods: Pods
) -> None:
    application = Application()
    async with drivers(in_a_pod, pods) as (old, new, _):
        arrivals = await arrived(new)
        old.on_slot_leaving(application.save)
        await asyncio.to_thread(ask, pods.service, "x-slot-0", 1)
        async with asyncio.timeout(20):
            await application.is_sent.wait()
        with pods.service.pod_quota(2):  # so that the operator sees the pod missing
            await asyncio.to_thread(pods.service.client.delete, Pod, "game-0", pods.service.namespace)
            assert await take(arrivals) == [SlotArrived("game", 0, 0)]
            assert pods.received == states(0)
            await wait_until(lambda: 0 not in old.slots(), "the driver of the killed pod would know")
    await asyncio.to_thread(pods.service.await_pods, 3)


async def test_slot_that_was_elsewhere_while_the_driver_was_cut_off_arrives_again(
    in_a_pod: pytest.MonkeyPatch, pods: Pods
) -> None:
    async with drivers(in_a_pod, pods) as (here, there, _):
        events = await arrived(here)
        parts = here._parts.opened  # noqa: SLF001
        assert parts is not None
        watch = parts.users._watches["game"]  # type: ignore[union-attr] # noqa: SLF001
        await watch.stop()
        await asyncio.to_thread(patch, pods.service, "x-slot-0", podIndex=1)
        await wait_until(lambda: 0 in there.slots(), "the slot is elsewhere")
        await asyncio.to_thread(patch, pods.service, "x-slot-0", podIndex=0)
        await asyncio.to_thread(patch, pods.service, "x-slot-3", podIndex=1)
        assert here.slots() == {0, 3}  # as of the last event
        await watch.restart()
        seen = await take(events, 3)
        assert set(seen) - {SlotArrived("game", 0, 1), SlotArrived("game", 0, None)} == {
            SlotLeft("game", 0, LeaveReason.MISSED),
            SlotLeft("game", 3, LeaveReason.UNBOUND),
        }
        assert here.slots() == {0}


async def test_store_refuses_the_writes_of_former_holders_by_links_and_slots(
    in_a_pod: pytest.MonkeyPatch,
    pods: Pods,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """A user of a slot is pinned to another pod and given back, and the slot moves, while former holders are paused."""
    monkeypatch.setattr(sys, "path", [str(RECIPES), *sys.path])
    from fenced_store import StaleTokenError, Store  # noqa: PLC0415

    uid, store = USERS[0][0], Store(str(tmp_path / "notebooks"))
    request.addfinalizer(store.close)
    tokens = list[tuple[int, ServerDriver]]()

    async def hold(driver: ServerDriver) -> None:
        """Opens the user's notebook at a pod, and writes it; all former holders are refused from then on."""
        token = await driver.read_token(uid)
        store.open(uid, token)
        store.write(uid, f"{len(tokens)}", token)
        for former_token in (each for each, holder in tokens if holder is not driver or each < token):
            with pytest.raises(StaleTokenError):
                store.write(uid, "lost", former_token)
        tokens.append((token, driver))

    here = pods.service.namespace
    async with drivers(in_a_pod, pods) as (first, second, third):
        await hold(first)
        await second.set_linked_pod(here, uid, "game", 1)
        await hold(second)
        with pytest.raises(UserNotHeldError):
            await first.read_token(uid)
        await asyncio.to_thread(pods.service.await_bound, f"game.{uid}")  # the operator has written the status
        await hold(second)
        assert second.token(uid) == tokens[-1][0]
        await second.remove_linked_pod(here, uid, "game")
        await hold(first)
        await asyncio.to_thread(patch, pods.service, "x-slot-0", podIndex=2)
        await hold(third)
        with pytest.raises(UserNotHeldError):
            await first.read_token(uid)
    assert [token for token, _ in tokens] == sorted(token for token, _ in tokens)
