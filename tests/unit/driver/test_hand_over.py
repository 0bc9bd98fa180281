"""Server drivers hand over the users of their pods, with a cluster in memory."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from statefulroute import (
    Configuration,
    DriverMetrics,
    HandOverConfiguration,
    InvalidParameterError,
    LeaveReason,
    LeavingUser,
    ServerDriver,
    ServerEvent,
    UserArrived,
    UserLeaving,
    UserLeft,
    UserStaying,
    sync,
)
from statefulroute.cluster.clock import utc_interval
from statefulroute.cluster.errors import UnreachableError, api_error
from statefulroute.driver import hand_over_timeouts
from statefulroute.sync.loop_thread import DriverInLoop
from statefulroute.testing import InMemoryCluster
from support.waiting import eventually

HERE = "play"
LINKS = "/apis/statefulroute.io/v1alpha1/namespaces/play/podlinks"
STEADY = Configuration(drain_seconds=0)
FOREVER = 3600


def transferring(**settings: Any) -> Configuration:
    return Configuration(drain_seconds=0, hand_over=HandOverConfiguration(**settings))


@pytest.fixture
def cluster() -> InMemoryCluster:
    cluster = InMemoryCluster(HERE)
    cluster.add_service("game", pods=3, hand_over_seconds=FOREVER)
    cluster.add_service("chat", pods=3, hand_over_seconds=FOREVER)
    cluster.add_service("rooms", pods=3)
    return cluster


class Application:
    """A handler that a test lets go on.

    Attributes:
        called: the users, in the order of the calls.
        cancelled: the users whose calls were cancelled.
    """

    def __init__(self) -> None:
        self.called: list[LeavingUser] = []
        self.cancelled: list[str] = []
        self._may_return = asyncio.Event()

    async def save(self, user: LeavingUser) -> None:
        self.called.append(user)
        try:
            await self._may_return.wait()
        except asyncio.CancelledError:
            self.cancelled.append(user.uid)
            raise

    def go_on(self) -> None:
        self._may_return.set()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


async def take(events: AsyncIterator[ServerEvent], number: int) -> list[Any]:
    async with asyncio.timeout(5):
        return [await anext(events) for _ in range(number)]


@asynccontextmanager
async def pod(
    cluster: InMemoryCluster, index: int = 0, *users: str, services: tuple[str, ...] = (), **options: Any
) -> AsyncIterator[ServerDriver]:
    """Runs the driver of a pod of the game with these users."""
    options = {"configuration": STEADY, **options}
    driver = cluster.server_driver("game", index, follow_users=services or True, **options)
    async with driver:
        for uid in users:
            await driver.set_linked_pod(HERE, uid, "game", index)
        yield driver


def result_counter(registry: CollectorRegistry) -> Callable[[str], float]:
    def read(result: str) -> float:
        labels = {"namespace": HERE, "result": result}
        return registry.get_sample_value("statefulroute_driver_hand_overs_total", labels) or 0.0

    return read


async def test_user_moves_when_the_handler_returns(cluster: InMemoryCluster) -> None:
    registry, application = CollectorRegistry(), Application()
    async with pod(cluster, 0, "alice", metrics=DriverMetrics(registry)) as old, pod(cluster, 1) as new:
        old.on_leaving(application.save)
        events, arrivals = old.events(), new.events()
        await take(events, 1)
        before = utc_interval().earliest
        cluster.hand_over("game", "alice", 1)
        [leaving] = await take(events, 1)
        assert leaving == UserLeaving("game", "alice", 1, leaving.deadline)
        assert before <= leaving.deadline - timedelta(seconds=FOREVER) <= utc_interval().latest
        await until(lambda: application.called)
        assert application.called == [LeavingUser("game", "alice", 1, leaving.deadline)]
        assert cluster.links("game") == {"alice": 0}
        application.go_on()
        assert await take(events, 1) == [UserLeft("game", "alice", LeaveReason.UNBOUND)]
        assert await take(arrivals, 1) == [UserArrived("game", "alice", None)]
        assert cluster.links("game") == {"alice": 1}
        await until(lambda: result_counter(registry)("Committed") == 1)
    assert application.cancelled == []


async def test_commit_is_one_request_and_removes_the_hand_over(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[tuple[str, bytes]] = []
    client = cluster._client  # noqa: SLF001
    get, patch = client.get, client.merge_patch

    async def record_get(path: str, *arguments: Any, **options: Any) -> bytes:
        requests.append((path, b""))
        return await get(path, *arguments, **options)

    async def record_patch(path: str, body: bytes) -> bytes:
        requests.append((path, body))
        return await patch(path, body)

    async with pod(cluster, 0, "alice") as old:
        old.on_leaving(Application().save)
        monkeypatch.setattr(client, "get", record_get)
        monkeypatch.setattr(client, "merge_patch", record_patch)

        async def save(_: LeavingUser) -> None:
            pass

        old.on_leaving(save)
        cluster.hand_over("game", "alice", 1)
        await until(lambda: cluster.links("game") == {"alice": 1})
    [link] = cluster._client.objects(LINKS)  # noqa: SLF001
    assert "handOver" not in link["spec"]
    about_links = [request for request in requests if "/podlinks/" in request[0]]
    assert len(about_links) == 1


async def test_user_whose_hand_over_is_withdrawn_stays(cluster: InMemoryCluster) -> None:
    registry, application = CollectorRegistry(), Application()
    async with pod(cluster, 0, "alice", metrics=DriverMetrics(registry)) as old:
        old.on_leaving(application.save)
        events = old.events()
        cluster.hand_over("game", "alice", 1)
        await take(events, 2)
        await until(lambda: application.called)
        cluster.withdraw_hand_over("game", "alice")
        assert await take(events, 1) == [UserStaying("game", "alice")]
        await until(lambda: application.cancelled == ["alice"])
        await until(lambda: result_counter(registry)("Withdrawn") == 1)
        assert cluster.links("game") == {"alice": 0}


async def test_user_is_handed_over_to_another_pod_instead(cluster: InMemoryCluster) -> None:
    application = Application()
    async with pod(cluster, 0, "alice") as old:
        old.on_leaving(application.save)
        events = old.events()
        cluster.hand_over("game", "alice", 1)
        await until(lambda: application.called)
        cluster.hand_over("game", "alice", 2)
        await until(lambda: len(application.called) == 2)
        assert [event.to for event in (await take(events, 3))[1:]] == [1, 2]
        assert application.cancelled == ["alice"]
        application.go_on()
        await until(lambda: cluster.links("game") == {"alice": 2})


async def test_handler_of_a_user_is_called_again_when_the_previous_call_has_ended(cluster: InMemoryCluster) -> None:
    steps, may_end = list[str](), asyncio.Event()

    async def save(user: LeavingUser) -> None:
        steps.append(f"to {user.to}")
        try:
            await asyncio.Event().wait()
        finally:
            steps.append(f"not to {user.to}")
            await may_end.wait()
            steps.append("ended")

    async with pod(cluster, 0, "alice") as old:
        old.on_leaving(save)
        cluster.hand_over("game", "alice", 1)
        await until(lambda: steps == ["to 1"])
        cluster.hand_over("game", "alice", 2)
        await until(lambda: len(steps) == 2)
        cluster.withdraw_hand_over("game", "alice")
        cluster.hand_over("game", "alice", 1)
        await asyncio.sleep(0.05)
        may_end.set()
        await until(lambda: len(steps) == 4)
        assert steps == ["to 1", "not to 1", "ended", "to 1"]


async def test_handler_is_cancelled_if_the_operator_moves_the_user(cluster: InMemoryCluster) -> None:
    registry, application = CollectorRegistry(), Application()
    async with pod(cluster, 0, "alice", metrics=DriverMetrics(registry)) as old:
        old.on_leaving(application.save)
        events = old.events()
        cluster.hand_over("game", "alice", 1)
        await until(lambda: application.called)
        cluster.end_hand_over("game", "alice")
        assert (await take(events, 3))[2] == UserLeft("game", "alice", LeaveReason.UNBOUND)
        await until(lambda: application.cancelled == ["alice"])
        await until(lambda: result_counter(registry)("TimedOut") == 1)


async def test_failed_handler_moves_no_user(cluster: InMemoryCluster) -> None:
    errors: list[Mapping[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    registry = CollectorRegistry()

    async def fail(_: LeavingUser) -> None:
        raise LookupError("of the application")

    async with pod(cluster, 0, "alice", metrics=DriverMetrics(registry)) as old:
        old.on_leaving(fail)
        cluster.hand_over("game", "alice", 1)
        await until(lambda: result_counter(registry)("Failed") == 1)
        assert [str(context["exception"]) for context in errors] == ["of the application"]
        assert cluster.links("game") == {"alice": 0}
        application = Application()
        old.on_leaving(application.save)  # another handler may do better
        application.go_on()
        await until(lambda: cluster.links("game") == {"alice": 1})


async def test_driver_without_a_handler_takes_no_part_until_it_has_one(cluster: InMemoryCluster) -> None:
    async with pod(cluster, 0, "alice") as old:
        events = old.events()
        cluster.hand_over("game", "alice", 1)
        assert (await take(events, 2))[1].to == 1
        assert (await take(old.events(), 2))[1].to == 1
        assert cluster.links("game") == {"alice": 0}
        application = Application()
        application.go_on()
        old.on_leaving(application.save)
        await until(lambda: cluster.links("game") == {"alice": 1})
        old.on_leaving(None)
        await old.set_linked_pod(HERE, "bob", "game", 0)
        cluster.hand_over("game", "bob", 1)
        await until(lambda: len(application.called) == 1)
        assert cluster.links("game")["bob"] == 0


async def test_hand_overs_that_began_before_the_driver(cluster: InMemoryCluster) -> None:
    async with pod(cluster, 1) as other:
        await other.set_linked_pod(HERE, "alice", "game", 0)
    cluster.hand_over("game", "alice", 1)
    application = Application()
    application.go_on()
    old = cluster.server_driver("game", 0, configuration=STEADY, follow_users=True)
    old.on_leaving(application.save)
    async with old:
        await until(lambda: cluster.links("game") == {"alice": 1})


async def test_number_of_handlers_at_a_time_is_limited(cluster: InMemoryCluster) -> None:
    application = Application()
    uids = [f"user-{number}" for number in range(5)]
    async with pod(cluster, 0, *uids, configuration=transferring(max_concurrent=2)) as old:
        old.on_leaving(application.save)
        for uid in uids:
            cluster.hand_over("game", uid, 1)
        await until(lambda: len(application.called) == 2)
        cluster.withdraw_hand_over("game", "user-4")  # it waits for its turn
        await asyncio.sleep(0)
        assert len(application.called) == 2
        application.go_on()
        await until(lambda: list(cluster.links("game").values()).count(1) == 4)
        assert [user.uid for user in application.called] == uids[:4]


async def test_user_who_waits_longer_than_the_deadline_is_left_to_the_operator(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statefulroute.driver.hand_over_timeouts._timeout", lambda _: 0.02)
    registry, application = CollectorRegistry(), Application()
    metrics, limited = DriverMetrics(registry), transferring(max_concurrent=1)
    async with pod(cluster, 0, "alice", "bob", metrics=metrics, configuration=limited) as old:
        old.on_leaving(application.save)
        cluster.hand_over("game", "alice", 1)
        cluster.hand_over("game", "bob", 1)
        await until(lambda: result_counter(registry)("TimedOut") == 1)
        assert [user.uid for user in application.called] == ["alice"]  # it may go on until the operator moves her
        assert application.cancelled == []


async def test_route_without_hand_overs_asks_no_handler(cluster: InMemoryCluster) -> None:
    """The operator moves its users at once. If the route is edited, hand-overs begin."""
    application = Application()
    async with pod(cluster, 0, "alice") as old:
        routes = f"/apis/statefulroute.io/v1alpha1/namespaces/{HERE}/statefulroutes"
        cluster._client.update(routes, "game", {"spec": {"handOver": None}})  # noqa: SLF001
        old.on_leaving(application.save)
        events = old.events()
        await take(events, 1)
        await asyncio.sleep(0.01)
        cluster.hand_over("game", "alice", 1)
        await asyncio.sleep(0.01)
        assert application.called == []
        cluster._client.update(routes, "game", {"spec": {"handOver": {"timeoutSeconds": 60}}})  # noqa: SLF001
        await until(lambda: application.called)
        assert (await take(events, 1))[0].to == 1
        cluster._client.update(routes, "game", {"spec": {"handOver": None}})  # noqa: SLF001
        assert await take(events, 1) == [UserStaying("game", "alice")]
        await until(lambda: application.cancelled)


async def test_time_outs_of_further_services_are_read_when_needed(cluster: InMemoryCluster) -> None:
    application = Application()
    application.go_on()
    async with pod(cluster, 0, services=("chat", "rooms")) as old:
        old.on_leaving(application.save)
        for service in ("chat", "rooms"):
            await old.set_linked_pod(HERE, "alice", service, 0)
            cluster.hand_over(service, "alice", 1)
        await until(lambda: cluster.links("chat") == {"alice": 1})
        assert [user.service for user in application.called] == ["chat"]
        assert cluster.links("rooms") == {"alice": 0}


async def test_time_out_of_a_further_service_is_read_until_the_api_server_answers(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand_over_timeouts, "RETRY_SECONDS", 0.01)
    client, failures = cluster._client, 0  # noqa: SLF001
    get = client.get

    async def fail(path: str, *args: Any, **options: Any) -> bytes:
        nonlocal failures
        if not path.endswith("/statefulroutes/chat") or failures == 2:
            return await get(path, *args, **options)
        failures += 1
        raise UnreachableError("no answer")

    async with pod(cluster, 0, services=("chat",)) as old:
        application = Application()
        application.go_on()
        old.on_leaving(application.save)
        await old.set_linked_pod(HERE, "alice", "chat", 0)
        monkeypatch.setattr(client, "get", fail)
        cluster.hand_over("chat", "alice", 1)
        await until(lambda: cluster.links("chat") == {"alice": 1})
        assert (failures, len(application.called)) == (2, 1)


async def test_withdrawn_hand_over_of_a_closing_pod(cluster: InMemoryCluster) -> None:
    deadline = datetime(2026, 1, 1, tzinfo=UTC)
    async with pod(cluster, 0, "alice", "bob") as old:
        events = old.events()
        await take(events, 2)
        cluster.hand_over("game", "alice", 1)
        assert (await take(events, 1))[0].to == 1
        cluster.set_closing("game", 0, deadline)
        assert await take(events, 1) == [UserLeaving("game", "bob", None, deadline)]
        cluster.withdraw_hand_over("game", "alice")
        assert await take(events, 1) == [UserLeaving("game", "alice", None, deadline)]


async def test_commit_is_tried_until_the_api_server_answers(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, failures = cluster._client, 0  # noqa: SLF001
    whole = client.merge_patch

    async def fail(path: str, _: bytes) -> bytes:
        nonlocal failures
        failures += 1
        if failures == 3:
            monkeypatch.undo()
        if failures == 1:
            await whole(path, b'{"metadata": {"labels": {"a": "b"}}}')  # a conflict, beside
        raise UnreachableError("no answer")

    async with pod(cluster, 0, "alice") as old:
        application = Application()
        application.go_on()
        old.on_leaving(application.save)
        monkeypatch.setattr(client, "merge_patch", fail)
        cluster.hand_over("game", "alice", 1)
        await until(lambda: cluster.links("game") == {"alice": 1})
        assert len(application.called) == 1


async def test_commit_is_tried_again_by_an_api_server_that_knows_no_rights_yet(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, failures = CollectorRegistry(), 0

    async def refuse(*_: object) -> bytes:
        nonlocal failures
        failures += 1
        raise api_error(403, "Forbidden", "no")

    async with pod(cluster, 0, "alice", "bob", metrics=DriverMetrics(registry)) as old:
        application = Application()
        application.go_on()
        old.on_leaving(application.save)
        monkeypatch.setattr(cluster._client, "merge_patch", refuse)  # noqa: SLF001
        cluster.hand_over("game", "alice", 1)
        await until(lambda: failures == 2)
        monkeypatch.undo()
        await until(lambda: cluster.links("game")["alice"] == 1)
        monkeypatch.setattr(cluster._client, "merge_patch", refuse)  # noqa: SLF001
        cluster.hand_over("game", "bob", 1)
        await until(lambda: failures == 3)
        cluster.end_hand_over("game", "bob")
        await until(lambda: result_counter(registry)("Failed") == 1)  # the log says why
        assert result_counter(registry)("Committed") == 1


async def test_commit_counts_if_the_watch_is_faster_than_its_response(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, application = CollectorRegistry(), Application()
    application.go_on()
    whole = cluster._client.merge_patch  # noqa: SLF001
    async with pod(cluster, 0, "alice", metrics=DriverMetrics(registry)) as old:

        async def respond_late(path: str, body: bytes) -> bytes:
            response = await whole(path, body)
            await until(lambda: not old.users())
            return response

        monkeypatch.setattr(cluster._client, "merge_patch", respond_late)  # noqa: SLF001
        old.on_leaving(application.save)
        cluster.hand_over("game", "alice", 1)
        await until(lambda: result_counter(registry)("Committed") == 1)


async def test_hand_over_that_is_withdrawn_before_the_commit(cluster: InMemoryCluster) -> None:
    """The driver has not seen it yet: the API server decides."""
    registry = CollectorRegistry()
    async with pod(cluster, 0, "alice", metrics=DriverMetrics(registry)) as old:

        async def withdraw(_: LeavingUser) -> None:
            cluster.withdraw_hand_over("game", "alice")

        old.on_leaving(withdraw)
        cluster.hand_over("game", "alice", 1)
        await until(lambda: result_counter(registry)("Withdrawn") == 1)
        assert cluster.links("game") == {"alice": 0}


async def test_closing_the_driver_cancels_the_handlers(cluster: InMemoryCluster) -> None:
    application = Application()
    async with pod(cluster, 0, "alice") as old:
        old.on_leaving(application.save)
        cluster.hand_over("game", "alice", 1)
        await until(lambda: application.called)
    assert application.cancelled == ["alice"]
    assert cluster.links("game") == {"alice": 0}
    assert len(asyncio.all_tasks()) == 1


async def test_driver_that_does_not_follow_its_users_says_so(cluster: InMemoryCluster) -> None:
    application = Application()
    async with cluster.server_driver("game", 0, configuration=STEADY) as driver:
        with pytest.raises(InvalidParameterError, match="follow_users must be set"):
            driver.on_leaving(application.save)


def test_blocking_handlers(cluster: InMemoryCluster) -> None:
    number = 40  # the event loop has at most 32 threads
    all_called = threading.Barrier(number + 1)

    async def make() -> ServerDriver:
        return cluster.server_driver("game", 0, configuration=STEADY, follow_users=True)

    def save(user: sync.LeavingUser) -> None:
        assert (user.service, user.to, user.is_withdrawn) == ("game", 1, False)
        all_called.wait(5)

    in_loop = DriverInLoop(make)
    with sync.ServerDriver(in_loop) as driver:
        driver.on_leaving(save)
        for index in range(number):
            driver.set_linked_pod(HERE, f"user-{index}", "game", 0)
            in_loop.read(lambda _, uid=f"user-{index}": cluster.hand_over("game", uid, 1))  # type: ignore[misc]
        events = driver.events()
        all_called.wait(5)
        left = {event.uid for event in events_until_left(events, number)}
        assert len(left) == number


def events_until_left(events: Any, number: int) -> list[UserLeft]:
    left: list[UserLeft] = []
    while len(left) < number:
        event = next(events)
        if isinstance(event, UserLeft):
            left.append(event)
    return left


def test_blocking_handler_learns_that_the_hand_over_is_withdrawn(cluster: InMemoryCluster) -> None:
    is_called, has_ended = threading.Event(), threading.Event()
    users: list[sync.LeavingUser] = []

    async def make() -> ServerDriver:
        return cluster.server_driver("game", 0, configuration=STEADY, follow_users=True)

    def save(user: sync.LeavingUser) -> None:
        users.append(user)
        is_called.set()
        has_ended.wait(5)

    in_loop = DriverInLoop(make)
    with sync.ServerDriver(in_loop) as driver:
        driver.on_leaving(save)
        driver.set_linked_pod(HERE, "alice", "game", 0)
        in_loop.read(lambda _: cluster.hand_over("game", "alice", 1))
        assert is_called.wait(5)
        in_loop.read(lambda _: cluster.withdraw_hand_over("game", "alice"))
        events = driver.events()
        while not isinstance(next(events), UserStaying | UserArrived):
            pass
        eventually(lambda: users[0].is_withdrawn, "the handler learns it")
        has_ended.set()
