"""Server drivers know the users of their pods, with a cluster in memory."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from statefulroute import (
    Configuration,
    CutOff,
    DriverNotOpenError,
    ErrorCode,
    EventsLost,
    InvalidParameterError,
    LeaveReason,
    Reconnected,
    ServerDriver,
    ServerEvent,
    UserArrived,
    UserLeaving,
    UserLeft,
    UserNotHeldError,
    UserStaying,
    sync,
)
from statefulroute.cluster.errors import APIError, GoneError
from statefulroute.driver.parts import ServerInformation
from statefulroute.driver.pod_users import make_pod_users
from statefulroute.sync.loop_thread import DriverInLoop
from statefulroute.testing import InMemoryCluster

HERE = "play"
LINKS = "/apis/statefulroute.io/v1alpha1/namespaces/play/podlinks"
STEADY = Configuration(drain_seconds=0)
FENCED = Configuration(drain_seconds=0, fence_after_seconds=1.0)


@pytest.fixture
def cluster() -> InMemoryCluster:
    cluster = InMemoryCluster(HERE)
    cluster.add_service("game", pods=2)
    cluster.add_service("chat", pods=2)
    return cluster


def server(cluster: InMemoryCluster, pod: int, configuration: Configuration = STEADY, *services: str) -> ServerDriver:
    return cluster.server_driver("game", pod, configuration=configuration, follow_users=services or True)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


async def take(events: AsyncIterator[ServerEvent], number: int) -> list[ServerEvent]:
    async with asyncio.timeout(5):
        return [await anext(events) for _ in range(number)]


async def test_users_and_events_of_one_pod(cluster: InMemoryCluster) -> None:
    async with server(cluster, 0) as here, server(cluster, 1) as there:
        assert here.users() == set()
        events, others = here.events(), there.events()
        await here.set_linked_pod(HERE, "alice", "game", 0)
        assert here.users() == {"alice"}  # its own binding, at once
        await there.set_linked_pod(HERE, "bob", "chat", 0)  # of another service
        await there.set_linked_pod(HERE, "Zoë", "game", 0)
        await there.set_linked_pod(HERE, "alice", "game", 1)
        assert await take(events, 3) == [
            UserArrived("game", "alice", None),
            UserArrived("game", "Zoë", None),
            UserLeft("game", "alice", LeaveReason.UNBOUND),
        ]
        assert await take(others, 1) == [UserArrived("game", "alice", None)]
        assert (here.users(), there.users()) == ({"Zoë"}, {"alice"})
        late = here.events()
        await there.remove_linked_pod(HERE, "Zoë", "game")
        assert await take(late, 2) == [UserArrived("game", "Zoë", None), UserLeft("game", "Zoë", LeaveReason.UNBOUND)]
    with pytest.raises(StopAsyncIteration):
        await take(late, 1)


async def test_events_that_are_awaited_before_the_start_begin_with_the_present_users(cluster: InMemoryCluster) -> None:
    async with server(cluster, 1) as there:
        await there.set_linked_pod(HERE, "alice", "game", 0)
    here = server(cluster, 0)
    events = here.events()
    with pytest.raises(DriverNotOpenError):
        here.users()
    async with here:
        assert await take(events, 1) == [UserArrived("game", "alice", None)]
        await here.close()
        with pytest.raises(DriverNotOpenError):
            here.users()
        await here.start()
        assert await take(here.events(), 1) == [UserArrived("game", "alice", None)]


async def test_several_services_of_a_pod(cluster: InMemoryCluster) -> None:
    async with server(cluster, 0, STEADY, "chat") as here:
        events = here.events()
        await here.set_linked_pod(HERE, "alice", "chat", 0)
        assert (here.users(), here.users("game"), here.users("chat")) == (set(), set(), {"alice"})
        assert await take(events, 1) == [UserArrived("chat", "alice", None)]
        assert here.token("alice", "chat") > 0
        with pytest.raises(InvalidParameterError, match=r"^service must be one .*: game, chat$"):
            here.users("lobby")


async def test_pod_of_a_deployment_is_selected_by_its_name(cluster: InMemoryCluster) -> None:
    name = "game-7d9f-x2x4c"
    spec = {"routeName": "game", "uid": "alice", "podName": name}
    cluster._client.create(LINKS, {"metadata": {"name": "game.alice"}, "spec": spec})  # noqa: SLF001
    pod = ServerInformation(namespace=HERE, service="game", pod_name=name, pod=name)
    users = make_pod_users(cluster._client, pod, True, None)  # noqa: SLF001, FBT003
    assert users is not None
    async with asynccontextmanager(_open)(users):
        assert [link.uid for link in users.links("game")] == ["alice"]
        cluster._client.update(LINKS, "game.alice", {"spec": {"podName": "game-7d9f-aaaaa"}})  # noqa: SLF001
        await until(lambda: not users.links("game"))


async def _open(users: Any) -> AsyncIterator[None]:
    from contextlib import AsyncExitStack  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        await users.open(stack, 5)
        yield


async def test_users_of_a_closing_pod_are_about_to_leave(cluster: InMemoryCluster) -> None:
    deadlines = [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (1, 2)]
    async with server(cluster, 0, STEADY, "chat") as here, server(cluster, 1) as there:
        await here.set_linked_pod(HERE, "alice", "chat", 0)
        events, others = here.events(), there.events()
        assert await take(events, 1) == [UserArrived("chat", "alice", None)]
        for deadline in deadlines:
            cluster.set_closing("game", 0, deadline)
            assert await take(events, 1) == [UserLeaving("chat", "alice", None, deadline)]
        arrival = [UserArrived("game", "bob", None), UserLeaving("game", "bob", None, deadlines[1])]
        await here.set_linked_pod(HERE, "bob", "game", 0)
        assert await take(events, 2) == arrival
        assert (await take(here.events(), 4))[:2] == arrival
        await here.remove_linked_pod(HERE, "bob", "game")
        assert await take(events, 1) == [UserLeft("game", "bob", LeaveReason.UNBOUND)]
        cluster.set_closing("game", 0, None)
        assert await take(events, 1) == [UserStaying("chat", "alice")]
        await there.set_linked_pod(HERE, "carol", "game", 1)
        assert await take(others, 1) == [UserArrived("game", "carol", None)]


async def test_token_of_any_later_holder_is_greater(cluster: InMemoryCluster) -> None:
    async with server(cluster, 0) as here, server(cluster, 1) as there:
        tokens = []
        for driver, pod in ((here, 0), (there, 1), (here, 0)):
            await driver.set_linked_pod(HERE, "alice", "game", pod)
            tokens.append(driver.token("alice"))
        await here.remove_linked_pod(HERE, "alice", "game")
        await until(lambda: not here.users())
        with pytest.raises(UserNotHeldError, match="does not hold 'alice' in 'game'") as refused:
            here.token("alice")
        assert refused.value.code is ErrorCode.USER_NOT_HELD
        await there.set_linked_pod(HERE, "alice", "game", 1)
        tokens.append(there.token("alice"))
        assert tokens == sorted(set(tokens))


async def test_expired_link_is_not_held(cluster: InMemoryCluster) -> None:
    spec = {"routeName": "game", "uid": "alice", "podIndex": 0, "ttlSeconds": 60, "renewTime": "2020-01-01T00:00:00Z"}
    cluster._client.create(LINKS, {"metadata": {"name": "game.alice"}, "spec": spec})  # noqa: SLF001
    async with server(cluster, 0) as here:
        assert here.users() == set()
        with pytest.raises(UserNotHeldError):
            here.token("alice")


def interruption_of_watches(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch, end: Callable[[], Awaitable[None]]
) -> asyncio.Event:
    """Returns an event that interrupts the present watches of links: they deliver nothing more, and end in a way."""
    client = cluster._client  # noqa: SLF001
    interrupted, whole = asyncio.Event(), client.watch

    @asynccontextmanager
    async def watch(path: str, params: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        async with whole(path, params) as lines:

            async def until_interrupted() -> AsyncIterator[bytes]:
                waiting = asyncio.create_task(interrupted.wait())
                while not interrupted.is_set():
                    line = asyncio.ensure_future(anext(lines))
                    await asyncio.wait({line, waiting}, return_when=asyncio.FIRST_COMPLETED)
                    if not line.done():
                        line.cancel()
                        break
                    yield line.result()
                monkeypatch.undo()
                await end()

            yield until_interrupted() if path == LINKS else lines

    monkeypatch.setattr(client, "watch", watch)
    return interrupted


async def test_users_that_came_and_went_while_the_watch_was_interrupted(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def expire() -> None:
        raise GoneError(410, "Expired", "too old resource version")

    interrupted = interruption_of_watches(cluster, monkeypatch, expire)
    async with server(cluster, 0) as here, server(cluster, 1) as there:
        for uid in ("stays", "goes", "returns"):
            await there.set_linked_pod(HERE, uid, "game", 0)
        await until(lambda: len(here.users()) == 3)
        events = here.events()
        await take(events, 3)
        interrupted.set()
        await there.remove_linked_pod(HERE, "goes", "game")
        await there.set_linked_pod(HERE, "comes", "game", 0)
        await there.set_linked_pod(HERE, "returns", "game", 1)
        await there.set_linked_pod(HERE, "returns", "game", 0)
        changes = set(await take(events, 4))
        assert changes == {
            UserArrived("game", "comes", None),
            UserLeft("game", "goes", LeaveReason.UNBOUND),
            UserLeft("game", "returns", LeaveReason.MISSED),
            UserArrived("game", "returns", None),
        }
        assert here.users() == {"stays", "comes", "returns"}


async def test_slow_consumer_learns_what_it_has_missed(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statefulroute.driver.events._MAX_QUEUED_EVENTS", 2)
    async with server(cluster, 0) as here:
        for number in range(5):
            await here.set_linked_pod(HERE, f"user-{number}", "game", 0)
        events = here.events()  # the present users do not count
        assert [type(event) for event in await take(events, 5)] == [UserArrived] * 5
        events = here.events()
        await take(events, 5)
        # The queue has room for two events: the users who were there are taken.
        for number in range(5, 15):
            await here.set_linked_pod(HERE, f"user-{number}", "game", 0)
        lost, first = await take(events, 2)
        assert lost == EventsLost(8)
        assert first == UserArrived("game", "user-13", None)


async def test_callbacks_are_called_in_turn_and_may_fail(cluster: InMemoryCluster) -> None:
    errors: list[Mapping[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    plain: list[ServerEvent] = []
    slow: list[ServerEvent] = []
    is_calling = False

    def fail(event: ServerEvent) -> None:
        plain.append(event)
        raise LookupError("of the application")

    async def wait(event: ServerEvent) -> None:
        nonlocal is_calling
        assert not is_calling
        is_calling = True
        await asyncio.sleep(0.01)
        slow.append(event)
        is_calling = False

    async with server(cluster, 0) as here:
        here.listen(fail)
        here.listen(wait)
        for number in range(3):
            await here.set_linked_pod(HERE, f"user-{number}", "game", 0)
        await until(lambda: len(plain) == len(slow) == 3)
    assert plain == slow == [UserArrived("game", f"user-{number}", None) for number in range(3)]
    assert [str(context["exception"]) for context in errors] == ["of the application"] * 3
    await until(lambda: len(asyncio.all_tasks()) == 1)


def test_callbacks_of_the_blocking_driver_may_all_block(cluster: InMemoryCluster) -> None:
    number = 40  # the event loop has at most 32 threads
    all_called = threading.Barrier(number + 1)

    async def make() -> ServerDriver:
        return server(cluster, 0)

    with sync.ServerDriver(DriverInLoop(make)) as driver:
        for _ in range(number):
            driver.listen(lambda _: all_called.wait(5))  # type: ignore[arg-type]
        driver.set_linked_pod(HERE, "alice", "game", 0)
        all_called.wait(5)


async def test_driver_that_does_not_follow_its_users_says_so(cluster: InMemoryCluster) -> None:
    driver = cluster.server_driver("game", 0, configuration=STEADY)
    early = driver.events()
    async with driver:
        for _ in range(2):
            with pytest.raises(InvalidParameterError, match="follow_users must be set"):
                await take(early, 1)
        calls: list[Callable[[], object]] = [driver.users, driver.events, lambda: driver.token("alice")]
        for call in calls:
            with pytest.raises(InvalidParameterError, match="follow_users must be set"):
                call()
        assert not driver.is_cut_off


@pytest.mark.parametrize(
    ("follow_users", "seconds", "message"),
    [
        (False, 5, "fence_after_seconds needs follow_users"),
        (True, 0, "fence_after_seconds must be greater than 0"),
        ("chat", 5, "follow_users must be"),
        (["Chat"], 5, "must be"),
    ],
)
async def test_invalid_options(cluster: InMemoryCluster, follow_users: Any, seconds: float, message: str) -> None:
    driver = cluster.server_driver(
        "game", 0, configuration=Configuration(fence_after_seconds=seconds), follow_users=follow_users
    )
    with pytest.raises(InvalidParameterError, match=message):
        await driver.init()


@pytest.mark.parametrize(("follow_users", "seconds"), [(False, 5), (["Chat"], None)])
def test_invalid_options_are_refused_before_the_first_request(
    follow_users: Any, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POD_NAMESPACE", HERE)
    with pytest.raises(InvalidParameterError):
        ServerDriver.from_environment(
            configuration=Configuration(fence_after_seconds=seconds), follow_users=follow_users
        )


async def test_links_are_read_again_after_a_loss_if_their_watch_is_dead_and_silent(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    interrupted = interruption_of_watches(cluster, monkeypatch, hang)
    async with server(cluster, 0, FENCED) as here:
        await here.set_linked_pod(HERE, "alice", "game", 0)
        events = here.events()
        await take(events, 1)
        interrupted.set()
        cluster.set_available(is_available=False)
        assert isinstance((await take(events, 1))[0], CutOff)
        cluster._client.remove(LINKS, "game.alice")  # noqa: SLF001
        cluster.set_available(is_available=True)
        left, end = await take(events, 2)
        assert left == UserLeft("game", "alice", LeaveReason.UNBOUND)
        assert isinstance(end, Reconnected)


async def test_pod_is_cut_off_if_only_its_watch_is_refused(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cluster._client.watch  # noqa: SLF001

    @asynccontextmanager
    async def refuse_links(path: str, params: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        if path == LINKS:
            raise APIError(403, "Forbidden", "podlinks is forbidden")
        async with whole(path, params) as lines:
            yield lines

    async def refuse() -> None:
        monkeypatch.setattr(cluster._client, "watch", refuse_links)  # noqa: SLF001
        raise APIError(403, "Forbidden", "podlinks is forbidden")

    interrupted = interruption_of_watches(cluster, monkeypatch, refuse)
    async with server(cluster, 0, FENCED) as here, cluster.server_driver("game", 1, configuration=STEADY) as there:
        await here.set_linked_pod(HERE, "alice", "game", 0)
        events = here.events()
        await take(events, 1)
        interrupted.set()
        assert isinstance((await take(events, 1))[0], CutOff)
        await there.set_linked_pod(HERE, "alice", "game", 1)
        assert (here.users(), here.is_cut_off) == ({"alice"}, True)
        monkeypatch.undo()
        assert [type(event) for event in await take(events, 2)] == [UserLeft, Reconnected]


async def test_links_are_read_again_after_a_loss_if_they_were_read_long_ago(cluster: InMemoryCluster) -> None:
    pod = ServerInformation(namespace=HERE, service="game", pod_name="game-0", pod=0)
    users = make_pod_users(cluster._client, pod, True, 10.0)  # noqa: SLF001, FBT003
    assert users is not None
    async with asynccontextmanager(_open)(users):
        [reflector] = users.reflectors
        users._publish(CutOff(10.0))  # noqa: SLF001
        assert await users._read_again(10.0) < 10.0  # noqa: SLF001
        assert await users._read_again(10.0) < 10.0  # noqa: SLF001
        assert reflector.lists == 2  # one at the start, and one since the loss
        reflector.last_update_at -= 60
        assert await users._read_again(10.0) < 10.0  # noqa: SLF001
        assert reflector.lists == 3


async def test_cut_off_pod_learns_of_it_and_of_its_users_afterwards(cluster: InMemoryCluster) -> None:
    here = server(cluster, 0, FENCED)
    assert here.is_cut_off  # it knows nothing yet
    async with here:
        await here.set_linked_pod(HERE, "alice", "game", 0)
        events = here.events()
        assert await take(events, 1) == [UserArrived("game", "alice", None)]
        assert not here.is_cut_off
        cluster.set_available(is_available=False)
        [loss] = await take(events, 1)
        assert isinstance(loss, CutOff)
        assert here.is_cut_off
        assert here.users() == {"alice"}  # the last that it knows
        assert isinstance((await take(here.events(), 2))[1], CutOff)
        cluster._client.remove(LINKS, "game.alice")  # noqa: SLF001
        cluster.set_available(is_available=True)
        left, end = await take(events, 2)
        assert left == UserLeft("game", "alice", LeaveReason.UNBOUND)
        assert isinstance(end, Reconnected)
        assert not here.is_cut_off
