"""The server driver does the same in each form: asynchronous, blocking, and as a sidecar over HTTP."""

import asyncio
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from driver.forms import Form, form
from driver.subjects import close_events, next_event
from statefulroute import (
    Attempt,
    DriverAlreadyRunningError,
    InvalidParameterError,
    LeaveReason,
    PodKey,
    StatefulRouteError,
    UserArrived,
    UserLeft,
    UserNotHeldError,
)
from statefulroute.domain.keys import UidOrSlot
from support.independent_client import PodLink
from support.waiting import eventually

__all__ = ["form"]  # a fixture

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Uids that a path could change, or that need an encoding.
ODD_UIDS = [
    "a b",
    "a/b",
    "../users/x/token",
    "..",
    ".",
    "a/../b",
    "%",
    "%2e%2e%2f",
    "a%00b",
    "a?route=lobby",
    "a#b",
    "a+b&c=d",
    "links",
    "claim",
    "x-slot-1",
    "Ü",
    "用户",
    "🙂",
    '"{}"',
    "a\\b",
    "a;b",
    "A",
    "a" * 189,
]

BAD_UIDS = ["a\0b", "a\nb", "\x7f", "a" * 190, "Ü" * 47]

uids = map("user-{}".format, count())


@pytest.fixture
def uid() -> str:
    return next(uids)


# What the pod reports.


async def test_load_and_waiting_tasks(form: Form) -> None:
    for name in ("load_state", "waiting_tasks"):
        for number in (7, 0, 2**31 - 1, 0):
            assert await form.call(f"set_{name}", number) is None
            assert await form.call(f"get_{name}") == number


@pytest.mark.parametrize("load", [-1, 2**31, 1.5, True, "3", None, [], {}])
async def test_invalid_loads_change_nothing(form: Form, load: Any) -> None:
    for name in ("load_state", "waiting_tasks"):
        await form.call(f"set_{name}", 3)
        with pytest.raises(InvalidParameterError):
            await form.call(f"set_{name}", load)
        assert await form.call(f"get_{name}") == 3
        await form.call(f"set_{name}", 0)


async def test_routing_state_is_published_at_once(form: Form) -> None:
    for state in ("DenyNewCall", "Shutdown", "Unknown", "Ready"):
        assert await form.call("set_routing_state", state) is None
        assert (await form.published())["routing-state"] == state
        assert await form.call("get_routing_state") == state


@pytest.mark.parametrize("state", ["ready", "", None, 1, ["Ready"]])
async def test_invalid_routing_states_change_nothing(form: Form, state: Any) -> None:
    with pytest.raises(InvalidParameterError):
        await form.call("set_routing_state", state)
    assert await form.call("get_routing_state") == "Ready"


async def test_stop_and_start(form: Form) -> None:
    with pytest.raises(DriverAlreadyRunningError):
        await form.call("start")
    await form.call("stop", 0)
    assert (await form.published())["routing-state"] == "DenyNewCall"
    await form.call("stop")  # it is stopped
    await form.call("start")
    assert (await form.published())["routing-state"] == "Ready"
    with pytest.raises(InvalidParameterError):
        await form.call("stop", -1)


# Links.


async def test_set_linked_pod(form: Form, uid: str) -> None:
    assert await form.call("get_linked_pod", uid, "game") is None
    assert await form.call("set_linked_pod", uid, "game", 0) is None
    assert await form.call("set_linked_pod", uid, "game", 2) == 0  # pod 0 is a pod
    assert await form.call("set_linked_pod", uid, "game", 1, ttl_seconds=600) == 2
    assert (await form.spec(uid)).items() >= {"podIndex": 1, "ttlSeconds": 600}.items()
    assert await form.call("set_linked_pod", uid, "game", 1) == 1
    assert "ttlSeconds" not in await form.spec(uid)
    assert await form.call("get_linked_pod", uid, "game") == 1
    assert await form.call("get_linked_pod", uid, "game", fresh=True) == 1


async def test_try_set_linked_pod(form: Form, uid: str) -> None:
    async def attempt(pod: int, **options: Any) -> Attempt:
        return await form.call("try_set_linked_pod", uid, "game", pod, **options)

    assert await attempt(0, ttl_seconds=600) == Attempt(won=True, holder=0)
    assert await attempt(1) == Attempt(won=True, holder=1)  # the link was temporary
    assert await attempt(0) == Attempt(won=False, holder=1)
    assert await form.call("set_linked_pod", uid, "game", 0) == 1
    assert await attempt(2) == Attempt(won=False, holder=0)


async def test_one_of_concurrent_attempts_wins(form: Form, uid: str) -> None:
    pods = [0, 1, 2] * 3
    attempts = await asyncio.gather(*(form.call("try_set_linked_pod", uid, "game", pod) for pod in pods))
    holder = await form.call("get_linked_pod", uid, "game", fresh=True)
    assert {each.holder for each in attempts} == {holder}
    assert [each.won for each in attempts] == [pod == holder for pod in pods]


async def test_links_of_pods_with_names(form: Form, uid: str) -> None:
    assert await form.call("set_linked_pod", uid, "game", "game-7d9f-x2x4c") is None
    assert await form.call("get_linked_pod", uid, "game") == "game-7d9f-x2x4c"
    assert await form.call("try_set_linked_pod", uid, "game", 1) == Attempt(won=False, holder="game-7d9f-x2x4c")
    assert not await form.call("remove_linked_pod_with_id", uid, "game", "game-7d9f-other")
    assert await form.call("remove_linked_pod_with_id", uid, "game", "game-7d9f-x2x4c")


async def test_remove_linked_pod(form: Form, uid: str) -> None:
    assert await form.call("remove_linked_pod", uid, "game") is False
    assert await form.call("remove_linked_pod_with_id", uid, "game", 0) is False
    await form.call("set_linked_pod", uid, "game", 0)
    assert await form.call("remove_linked_pod_with_id", uid, "game", 1, grace_seconds=600) is False
    assert await form.call("remove_linked_pod", uid, "game", grace_seconds=600) is True
    assert (await form.spec(uid)).items() >= {"podIndex": 0, "ttlSeconds": 600}.items()
    assert await form.call("remove_linked_pod_with_id", uid, "game", 0, grace_seconds=0) is True
    assert await form.call("get_linked_pod", uid, "game") is None


async def test_links_of_and_address_of(form: Form, uid: str) -> None:
    assert await form.call("links_of", uid) == {}
    assert await form.call("address_of", uid, "game") is None
    await form.call("set_linked_pod", uid, "game", 1)
    assert await form.call("links_of", uid) == {"game": 1}
    assert await form.call("links_of", uid, ["game", "lobby"]) == {"game": 1}
    assert await form.call("links_of", uid, ["lobby"]) == {}
    address = await form.call("address_of", uid, "game")
    pod = await asyncio.to_thread(form.read_pod, 1)
    assert (address.pod, address.ip, address.port) == ("game-1", pod["status"]["podIP"], None)


@pytest.mark.parametrize("uid", BAD_UIDS)
@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("set_linked_pod", ("game", 0)),
        ("try_set_linked_pod", ("game", 0)),
        ("remove_linked_pod", ("game",)),
        ("remove_linked_pod_with_id", ("game", 0)),
        ("get_linked_pod", ("game",)),
        ("address_of", ("game",)),
        ("links_of", ()),
        ("token", ()),
    ],
)
async def test_invalid_uids(form: Form, method: str, arguments: tuple[Any, ...], uid: str) -> None:
    with pytest.raises(InvalidParameterError, match="uid"):
        await form.call(method, uid, *arguments)


@pytest.mark.parametrize("pod", [-1, 2**31, True, 1.5, "", "Game-0", "a" * 254])
async def test_invalid_pods(form: Form, uid: str, pod: Any) -> None:
    for method in ("set_linked_pod", "try_set_linked_pod", "remove_linked_pod_with_id"):
        with pytest.raises(InvalidParameterError):
            await form.call(method, uid, "game", pod)
    assert await form.call("get_linked_pod", uid, "game", fresh=True) is None


@pytest.mark.parametrize("seconds", [-1, 2**31, 1.5, True, "x"])
async def test_invalid_times(form: Form, uid: str, seconds: Any) -> None:
    for method in ("set_linked_pod", "try_set_linked_pod"):
        with pytest.raises(InvalidParameterError):
            await form.call(method, uid, "game", 0, ttl_seconds=seconds)
    for method, arguments in (("remove_linked_pod", ()), ("remove_linked_pod_with_id", (0,))):
        with pytest.raises(InvalidParameterError):
            await form.call(method, uid, "game", *arguments, grace_seconds=seconds)


@pytest.mark.parametrize("service", ["Game", "game.x", "a" * 64, "..", "a b", "a/b"])
async def test_invalid_services(form: Form, uid: str, service: str) -> None:
    for method, arguments in (("set_linked_pod", (0,)), ("get_linked_pod", ()), ("address_of", ())):
        with pytest.raises(InvalidParameterError):
            await form.call(method, uid, service, *arguments)
    with pytest.raises(InvalidParameterError):
        await form.call("users", service)


# The users of the pod.


async def test_users_and_tokens(form: Form, uid: str) -> None:
    with pytest.raises(UserNotHeldError):
        await form.call("token", uid)
    await form.call("set_linked_pod", uid, "game", form.pod)
    assert uid in await form.call("users")
    assert uid in await form.call("users", "game")
    first = await form.call("token", uid)
    await form.call("remove_linked_pod", uid, "game")
    await form.call("set_linked_pod", uid, "game", form.pod)
    assert first < await form.call("token", uid, "game")
    with pytest.raises(InvalidParameterError, match="follow"):
        await form.call("users", "lobby")
    with pytest.raises(InvalidParameterError, match="follow"):
        await form.call("token", uid, "lobby")


@pytest.mark.parametrize("uid", ODD_UIDS)
async def test_odd_uids_are_themselves(form: Form, uid: str) -> None:
    await form.call("set_linked_pod", uid, "game", form.pod)
    assert uid in await form.call("users")
    assert await form.call("token", uid) > 0
    assert await form.call("links_of", uid) == {"game": form.pod}
    assert await form.call("get_linked_pod", uid, "game") == form.pod
    assert await form.call("remove_linked_pod", uid, "game") is True
    assert await form.call("get_linked_pod", uid, "game") is None


async def test_events(form: Form, uid: str) -> None:
    events = form.subject.events()
    other = (form.pod + 1) % 3
    await asyncio.to_thread(form.service.client.delete_all, PodLink, form.service.namespace)
    await asyncio.to_thread(eventually, lambda: not form.service.links(), "there are no links")
    try:
        await form.call("set_linked_pod", f"{uid}-first", "game", form.pod)
        while await next_event(events) != UserArrived("game", f"{uid}-first", None):
            pass  # those of other tests
        await form.call("set_linked_pod", uid, "game", form.pod)
        assert await next_event(events) == UserArrived("game", uid, None)
        await asyncio.to_thread(form.service.await_bound, f"game.{uid}")
        await form.call("set_linked_pod", uid, "game", other)
        assert await next_event(events) == UserLeft("game", uid, LeaveReason.UNBOUND)
        await asyncio.to_thread(form.service.await_bound, f"game.{uid}")
        await form.call("set_linked_pod", uid, "game", form.pod)
        assert await next_event(events) == UserArrived("game", uid, other)
        await form.call("remove_linked_pod", uid, "game")
        assert await next_event(events) == UserLeft("game", uid, LeaveReason.UNBOUND)
    finally:
        await close_events(events)


async def test_events_begin_with_the_present_users(form: Form, uid: str) -> None:
    await form.call("set_linked_pod", uid, "game", form.pod)
    events = form.subject.events()
    try:
        seen = {(await next_event(events)).uid for _ in await form.call("users")}  # type: ignore[union-attr]
    finally:
        await close_events(events)
    assert seen == await form.call("users")


async def test_a_user_is_handed_over(form: Form, uid: str) -> None:
    handled: asyncio.Queue[tuple[UidOrSlot, PodKey]] = asyncio.Queue()
    to, client, here = (form.pod + 1) % 3, form.service.client, form.service.namespace

    async def save(user: UidOrSlot, pod: PodKey) -> None:
        assert await form.call("get_linked_pod", user, "game", fresh=True) == form.pod
        handled.put_nowait((user, pod))

    await asyncio.to_thread(form.service.edit_route, handOver={"timeoutSeconds": 600})
    await form.call("set_linked_pod", uid, "game", form.pod)
    asked = {"podIndex": to, "startTime": datetime.now(UTC).isoformat()}
    async with form.subject.taking_part(save):
        await asyncio.to_thread(client.patch, PodLink, f"game.{uid}", here, {"spec": {"handOver": asked}})
        async with asyncio.timeout(30):
            assert await handled.get() == (uid, to)
            while uid in await form.call("users"):  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.02)
    assert await form.call("get_linked_pod", uid, "game", fresh=True) == to
    assert "handOver" not in await form.spec(uid)
    await asyncio.to_thread(form.service.edit_route, handOver=None)


async def test_unknown_services(form: Form, uid: str) -> None:
    """A link to a service that does not exist may be made: its route may follow."""
    assert await form.call("set_linked_pod", uid, "lobby", 0) is None
    with pytest.raises(StatefulRouteError):
        await form.call("address_of", uid, "lobby")
    assert await form.call("remove_linked_pod", uid, "lobby") is True
