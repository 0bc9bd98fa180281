"""Server drivers send the states of users to each other, with a cluster in memory."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import AsyncMock

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from statefulroute import (
    ArrivalCancelled,
    ArrivingUser,
    Configuration,
    DriverMetrics,
    DriverTracing,
    ErrorCode,
    HandOverConfiguration,
    HandOverError,
    InvalidParameterError,
    LeavingUser,
    ServerDriver,
    ServerEvent,
    StateTooLargeError,
    UserArrived,
    sync,
)
from statefulroute.driver.refusals import RefusedError
from statefulroute.sync.loop_thread import DriverInLoop
from statefulroute.testing import InMemoryCluster
from statefulroute.testing.in_memory_transfer import InMemoryTransfer
from support.waiting import eventually

HERE = "play"
MAX_BYTES = 2**20
TRANSFERRING = Configuration(drain_seconds=0, hand_over=HandOverConfiguration(max_state_bytes=MAX_BYTES))


@pytest.fixture
def cluster() -> InMemoryCluster:
    cluster = InMemoryCluster(HERE)
    cluster.add_service("game", pods=3, hand_over_seconds=3600)
    return cluster


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


async def take(events: AsyncIterator[ServerEvent], number: int = 1) -> list[Any]:
    async with asyncio.timeout(5):
        return [await anext(events) for _ in range(number)]


@asynccontextmanager
async def pods(
    cluster: InMemoryCluster, *users: str, **options: Any
) -> AsyncIterator[tuple[ServerDriver, ServerDriver]]:
    """Runs the drivers of two pods, of which the first has users."""
    options = {"configuration": TRANSFERRING, "follow_users": True, **options}
    async with cluster.server_driver("game", 0, **options) as old, cluster.server_driver("game", 1, **options) as new:
        for uid in users:
            await old.set_linked_pod(HERE, uid, "game", 0)
        yield old, new


class Pod:
    """An application that sends one state, and keeps the states that it receives.

    Attributes:
        received: the states by user.
        errors: the errors of `send`.
    """

    def __init__(self, state: Any = b"") -> None:
        self.state = state
        self.received: dict[str, bytes] = {}
        self.arriving: list[ArrivingUser] = []
        self.errors: list[HandOverError] = []

    async def send(self, user: LeavingUser) -> None:
        try:
            await user.send(self.state)
        except HandOverError as error:
            self.errors.append(error)
            raise

    async def receive(self, user: ArrivingUser) -> None:
        self.arriving.append(user)
        self.received[user.uid] = await user.read()


async def parts(number: int, size: int) -> AsyncIterator[bytes]:
    for index in range(number):
        yield bytes([index % 256]) * size


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, MAX_BYTES])
async def test_state_arrives_before_the_user(cluster: InMemoryCluster, size: int) -> None:
    state = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    registry, pod = CollectorRegistry(), Pod(state)
    async with pods(cluster, "alice", metrics=DriverMetrics(registry)) as (old, new):
        old.on_leaving(pod.send)
        new.on_arriving(pod.receive)
        events = new.events()
        cluster.hand_over("game", "alice", 1)
        assert await take(events) == [UserArrived("game", "alice", None)]
        assert pod.received == {"alice": state}
        [user] = pod.arriving
        assert (user.service, user.uid, user.origin) == ("game", "alice", 0)
        for direction in ("sent", "received"):
            labels = {"namespace": HERE, "direction": direction}
            assert registry.get_sample_value("statefulroute_driver_state_bytes_total", labels) == size


async def test_state_is_streamed_as_fast_as_it_is_read(cluster: InMemoryCluster) -> None:
    sent, may_read = 0, asyncio.Event()

    async def state() -> AsyncIterator[bytes]:
        nonlocal sent
        async for part in parts(100, 1000):
            sent += 1
            yield part

    received: list[bytes] = []

    async def receive(user: ArrivingUser) -> None:
        async for part in user:
            received.append(part)
            if len(received) == 3:
                await may_read.wait()

    async with pods(cluster, "alice") as (old, new):
        old.on_leaving(Pod(state()).send)
        new.on_arriving(receive)
        cluster.hand_over("game", "alice", 1)
        await until(lambda: len(received) == 3)
        assert sent == 3
        may_read.set()
        await until(lambda: cluster.links("game") == {"alice": 1})
        assert b"".join(received) == b"".join([part async for part in parts(100, 1000)])


@pytest.mark.parametrize("state", [b"x" * (MAX_BYTES + 1), parts(1025, 1024)], ids=["bytes", "parts"])
async def test_too_large_state_is_not_sent(cluster: InMemoryCluster, state: Any) -> None:
    pod = Pod(state)
    async with pods(cluster, "alice") as (old, new):
        old.on_leaving(pod.send)
        new.on_arriving(pod.receive)
        silence_the_event_loop()
        cluster.hand_over("game", "alice", 1)
        await until(lambda: pod.errors)
        assert isinstance(pod.errors[0], StateTooLargeError)
        assert pod.errors[0].code is ErrorCode.STATE_TOO_LARGE
        assert str(MAX_BYTES) in str(pod.errors[0])
        assert pod.received == {}
        assert cluster.links("game") == {"alice": 0}


@pytest.mark.parametrize("swallows", [False, True])
async def test_new_pod_has_a_limit_of_its_own(cluster: InMemoryCluster, *, swallows: bool) -> None:
    """Also if its application overlooks the error."""
    pod = Pod(parts(10, 1000))
    small = Configuration(drain_seconds=0, hand_over=HandOverConfiguration(max_state_bytes=5000))

    async def receive(user: ArrivingUser) -> None:
        try:
            pod.received["alice"] = await user.read()
        except StateTooLargeError:
            with pytest.raises(StateTooLargeError):
                await user.read()
            if not swallows:
                raise

    async with pods(cluster, "alice") as (old, _):
        new = cluster.server_driver("game", 2, configuration=small, follow_users=True)
        async with new:
            old.on_leaving(pod.send)
            new.on_arriving(receive)
            silence_the_event_loop()
            cluster.hand_over("game", "alice", 2)
            await until(lambda: pod.errors)
            assert isinstance(pod.errors[0], StateTooLargeError)
            assert cluster.links("game") == {"alice": 0}
            assert pod.received == {}


def silence_the_event_loop() -> list[Mapping[str, Any]]:
    errors: list[Mapping[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    return errors


async def test_failure_of_the_new_pod_is_that_of_the_old_one(cluster: InMemoryCluster) -> None:
    pod = Pod(b"state")

    async def fail(_: ArrivingUser) -> None:
        raise LookupError("secret of the application")

    async with pods(cluster, "alice") as (old, new):
        old.on_leaving(pod.send)
        new.on_arriving(fail)
        errors = silence_the_event_loop()
        cluster.hand_over("game", "alice", 1)
        await until(lambda: len(errors) == 2)
        assert [str(error) for error in pod.errors] == ["the new pod has failed to take the user: see its log"]
        assert "secret" in str(errors[0]["exception"])
        assert cluster.links("game") == {"alice": 0}


async def test_application_may_send_again(cluster: InMemoryCluster) -> None:
    received: list[bytes] = []

    async def receive(user: ArrivingUser) -> None:
        received.append(await user.read())
        if len(received) == 1:
            raise LookupError("once")

    async def save(user: LeavingUser) -> None:
        with pytest.raises(HandOverError):
            await user.send(b"one")
        await user.send(b"two")
        await user.send(b"three")

    async with pods(cluster, "alice") as (old, new):
        silence_the_event_loop()
        old.on_leaving(save)
        new.on_arriving(receive)
        cluster.hand_over("game", "alice", 1)
        await until(lambda: cluster.links("game") == {"alice": 1})
        assert received == [b"one", b"two", b"three"]


async def test_error_of_the_state_itself_is_raised(cluster: InMemoryCluster) -> None:
    async def state() -> AsyncIterator[bytes]:
        yield b"one"
        raise LookupError("cannot read the room")

    async def text() -> AsyncIterator[Any]:
        yield "text"

    errors: list[Exception] = []

    async def save(user: LeavingUser) -> None:
        for data in (state(), text(), "text", None):
            try:
                await user.send(data)  # type: ignore[arg-type]
            except Exception as error:  # noqa: BLE001 - any
                errors.append(error)

    async with pods(cluster, "alice") as (old, new):
        silence_the_event_loop()
        old.on_leaving(save)
        new.on_arriving(Pod().receive)
        cluster.hand_over("game", "alice", 1)
        await until(lambda: len(errors) == 4)
    assert [type(error) for error in errors] == [LookupError, *[InvalidParameterError] * 3]


async def test_state_is_not_sent_after_the_end_of_the_hand_over(cluster: InMemoryCluster) -> None:
    kept: list[LeavingUser] = []
    pod = Pod(b"late")

    async def save(user: LeavingUser) -> None:
        kept.append(user)

    async with pods(cluster, "alice") as (old, new):
        old.on_leaving(save)
        new.on_arriving(pod.receive)
        cluster.hand_over("game", "alice", 1)
        await until(lambda: cluster.links("game") == {"alice": 1} and not old.users())
        with pytest.raises(HandOverError, match="the user has left"):
            await pod.send(kept[0])
    assert pod.received == {}


async def test_pod_that_receives_nothing_says_so(cluster: InMemoryCluster) -> None:
    pod = Pod(b"state")
    async with pods(cluster, "alice", "bob") as (old, new):
        silence_the_event_loop()
        old.on_leaving(pod.send)
        cluster.hand_over("game", "alice", 1)
        await until(lambda: pod.errors)
        new.on_arriving(pod.receive)
        new.on_arriving(None)
        await asyncio.sleep(0)
        cluster.hand_over("game", "bob", 1)
        await until(lambda: len(pod.errors) == 2)
        assert "has not called on_arriving" in str(pod.errors[1])


async def test_driver_without_a_configuration_transfers_nothing(cluster: InMemoryCluster) -> None:
    pod = Pod(b"state")
    async with pods(cluster, "alice", configuration=Configuration(drain_seconds=0)) as (old, new):
        silence_the_event_loop()
        with pytest.raises(InvalidParameterError, match=r"^hand_over must be set"):
            new.on_arriving(pod.receive)
        old.on_leaving(pod.send)
        cluster.hand_over("game", "alice", 1)
        await until(lambda: pod.errors)
        assert "Configuration.hand_over must be set in both pods" in str(pod.errors[0])


ASKED = {"podIndex": 1, "startTime": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("spec", "service"),
    [
        ({}, "game"),
        ({"handOver": ASKED | {"podIndex": 2}}, "game"),
        ({"handOver": ASKED, "podIndex": 2}, "game"),
        ({"handOver": ASKED, "podIndex": 1}, "game"),
        ({"handOver": ASKED}, "chat"),
    ],
    ids=["no hand-over", "to another pod", "of another pod", "of the new pod", "another service"],
)
async def test_user_who_is_not_handed_over_by_the_link_is_refused(
    cluster: InMemoryCluster, spec: Mapping[str, Any], service: str
) -> None:
    pod = Pod()
    async with pods(cluster, "alice") as (old, new):
        new.on_arriving(pod.receive)
        links = f"/apis/statefulroute.io/v1alpha1/namespaces/{HERE}/podlinks"
        cluster._client.update(links, "game.alice", {"spec": spec})  # noqa: SLF001
        opened = old._parts.opened  # noqa: SLF001
        assert opened is not None
        assert opened.transfer is not None
        await asyncio.sleep(0)
        with pytest.raises(HandOverError, match="no longer asks for this hand-over"):
            await opened.transfer.send(service, "alice", 1, parts(1, 1))
        assert pod.received == {}


@pytest.mark.parametrize("target", [None, 2], ids=["withdrawn", "to another pod"])
async def test_user_whose_state_was_taken_does_not_arrive(cluster: InMemoryCluster, target: int | None) -> None:
    is_sent = asyncio.Event()

    async def save(user: LeavingUser) -> None:
        if user.to == 1:
            await user.send(b"state")
            is_sent.set()
        await asyncio.Event().wait()

    async with pods(cluster, "alice") as (old, new):
        old.on_leaving(save)
        new.on_arriving(Pod().receive)
        events = new.events()
        cluster.hand_over("game", "alice", 1)
        await is_sent.wait()
        if target is None:
            cluster.withdraw_hand_over("game", "alice")
        else:
            cluster.hand_over("game", "alice", target)
        assert await take(events) == [ArrivalCancelled("game", "alice")]


async def test_arrival_is_cancelled_if_the_answer_of_the_new_pod_was_lost(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = InMemoryTransfer.send

    async def lose_answer(self: InMemoryTransfer, *args: Any) -> None:
        await whole(self, *args)
        raise HandOverError("the connection has failed")

    monkeypatch.setattr(InMemoryTransfer, "send", lose_answer)
    async with pods(cluster, "alice") as (old, new):
        sender = Pod(b"state")
        old.on_leaving(sender.send)
        new.on_arriving(Pod().receive)
        events = new.events()
        cluster.hand_over("game", "alice", 1)
        await until(lambda: sender.errors)
        cluster.withdraw_hand_over("game", "alice")
        assert await take(events) == [ArrivalCancelled("game", "alice")]


async def test_user_whose_old_pod_is_gone_is_looked_for_after_the_deadline(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statefulroute.driver.expected_arrivals._MARGIN_SECONDS", 0.0)
    monkeypatch.setattr("statefulroute.driver.hand_over_timeouts._timeout", lambda _: 0.05)
    is_sent = asyncio.Event()

    async def save(user: LeavingUser) -> None:
        await user.send(b"state")
        is_sent.set()
        await asyncio.Event().wait()

    new = cluster.server_driver("game", 1, configuration=TRANSFERRING, follow_users=True)
    old = cluster.server_driver("game", 0, configuration=TRANSFERRING, follow_users=True)
    async with new:
        new.on_arriving(Pod().receive)
        events = new.events()
        async with old:
            await old.set_linked_pod(HERE, "alice", "game", 0)
            old.on_leaving(save)
            cluster.hand_over("game", "alice", 1)
            await is_sent.wait()
        cluster.withdraw_hand_over("game", "alice")
        cluster.set_available(is_available=False)  # the first look fails
        await asyncio.sleep(0.08)
        cluster.set_available(is_available=True)
        assert await take(events) == [ArrivalCancelled("game", "alice")]


async def test_user_who_arrives_late_is_not_cancelled(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statefulroute.driver.expected_arrivals._MARGIN_SECONDS", 0.0)
    monkeypatch.setattr("statefulroute.driver.hand_over_timeouts._timeout", lambda _: 0.02)
    is_sent = asyncio.Event()

    async def save(user: LeavingUser) -> None:
        await user.send(b"state")
        is_sent.set()
        await asyncio.Event().wait()

    async with pods(cluster, "alice") as (old, new):
        old.on_leaving(save)
        new.on_arriving(Pod().receive)
        events = new.events()
        cluster.hand_over("game", "alice", 1)
        await is_sent.wait()
        await asyncio.sleep(0.05)  # the operator is late
        cluster.end_hand_over("game", "alice")
        assert await take(events) == [UserArrived("game", "alice", None)]
        assert new._arrivals is not None  # noqa: SLF001
        assert new._arrivals._expected._expected == {}  # noqa: SLF001


async def test_late_state_of_a_user_who_has_arrived_is_not_taken(
    cluster: InMemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator has moved the user at the deadline, and the user may have changed the state at the new pod."""
    is_called, ends = asyncio.Event(), []

    async def receive(user: ArrivingUser) -> None:
        is_called.set()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(user.uid)

    async with pods(cluster, "alice") as (_, new):
        new.on_arriving(receive)
        events = new.events()
        links = f"/apis/statefulroute.io/v1alpha1/namespaces/{HERE}/podlinks"
        cluster._client.update(links, "game.alice", {"spec": {"handOver": ASKED}})  # noqa: SLF001
        assert new._arrivals is not None  # noqa: SLF001
        sending = asyncio.create_task(new._arrivals.take("game", "alice", "game-0", parts(1, 1)))  # noqa: SLF001
        await is_called.wait()
        assert ends == []
        cluster.end_hand_over("game", "alice")
        assert await take(events) == [UserArrived("game", "alice", None)]
        with pytest.raises(RefusedError):
            await sending
        assert ends == ["alice"]
        await new.set_linked_pod(HERE, "alice", "game", 0)
        cluster.hand_over("game", "alice", 1)
        stale = await new._arrivals._check("game", "alice", "game-0")  # noqa: SLF001
        cluster.end_hand_over("game", "alice")
        await until(lambda: new.users() == {"alice"})
        monkeypatch.setattr(new._arrivals, "_check", AsyncMock(return_value=stale))  # noqa: SLF001
        with pytest.raises(RefusedError):  # the link was read before the user arrived
            await new._arrivals.take("game", "alice", "game-0", parts(1, 1))  # noqa: SLF001
        assert ends == ["alice"]


async def test_closing_the_new_pod_cancels_its_handlers(cluster: InMemoryCluster) -> None:
    pod, is_called, ends = Pod(b"state"), asyncio.Event(), []

    async def receive(user: ArrivingUser) -> None:
        is_called.set()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(user.uid)

    silence_the_event_loop()
    old = cluster.server_driver("game", 0, configuration=TRANSFERRING, follow_users=True)
    async with old:
        await old.set_linked_pod(HERE, "alice", "game", 0)
        async with cluster.server_driver("game", 1, configuration=TRANSFERRING, follow_users=True) as new:
            new.on_arriving(receive)
            old.on_leaving(pod.send)
            cluster.hand_over("game", "alice", 1)
            await is_called.wait()
        assert ends == ["alice"]
        await until(lambda: pod.errors)


async def test_pod_that_sends_for_the_users_of_others_does_not_delay_them(cluster: InMemoryCluster) -> None:
    may_return = asyncio.Event()
    one = Configuration(drain_seconds=0, hand_over=HandOverConfiguration(max_concurrent=1))

    async def receive(user: ArrivingUser) -> None:
        await may_return.wait()
        await user.read()

    limited = cluster.server_driver("game", 2, configuration=one, follow_users=True)
    async with pods(cluster, "alice", "bob") as (old, _), limited as new:
        old.on_leaving(Pod(b"state").send)
        new.on_arriving(receive)
        cluster.hand_over("game", "alice", 2)
        assert new._arrivals is not None  # noqa: SLF001
        await until(lambda: new._arrivals._arriving)  # type: ignore[union-attr]  # noqa: SLF001
        for _ in range(100):  # of a compromised pod
            with pytest.raises(RefusedError):
                await new._arrivals.take("game", "bob", "game-1", parts(1, 1))  # noqa: SLF001
        cluster.hand_over("game", "bob", 2)
        await until(lambda: len(new._arrivals._arriving) == 2)  # type: ignore[union-attr]  # noqa: SLF001
        may_return.set()
        await until(lambda: cluster.links("game") == {"alice": 2, "bob": 2})


async def test_operations_have_spans(cluster: InMemoryCluster) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    pod = Pod(b"state")
    async with pods(cluster, "alice", tracing=DriverTracing(provider)) as (old, new):
        old.on_leaving(pod.send)
        new.on_arriving(pod.receive)
        cluster.hand_over("game", "alice", 1)
        await until(lambda: cluster.links("game") == {"alice": 1})
        await until(lambda: "statefulroute.hand_over" in {span.name for span in exporter.get_finished_spans()})
    assert "patch podlinks" in {span.name for span in exporter.get_finished_spans()}


async def test_number_of_users_that_are_taken_at_a_time_is_limited(cluster: InMemoryCluster) -> None:
    may_return, called = asyncio.Event(), 0
    two = Configuration(drain_seconds=0, hand_over=HandOverConfiguration(max_concurrent=2))

    async def receive(user: ArrivingUser) -> None:
        nonlocal called
        called += 1
        await may_return.wait()
        await user.read()

    uids = [f"user-{number}" for number in range(6)]
    limited = cluster.server_driver("game", 2, configuration=two, follow_users=True)
    async with pods(cluster, *uids) as (old, _), limited as new:
        old.on_leaving(Pod(b"state").send)
        new.on_arriving(receive)
        for uid in uids:
            cluster.hand_over("game", uid, 2)
        await until(lambda: called == 2)
        await asyncio.sleep(0.01)
        assert called == 2
        may_return.set()
        await until(lambda: set(cluster.links("game").values()) == {2})


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"port": 0}, "hand_over.port must be"),
        ({"port": 65536}, "hand_over.port must be"),
        ({"max_state_bytes": 0}, "hand_over.max_state_bytes must be"),
        ({"max_concurrent": 0}, "hand_over.max_concurrent must be"),
        ({}, "hand_over needs follow_users"),
    ],
)
def test_invalid_options_are_refused_before_the_first_request(
    settings: dict[str, Any], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POD_NAMESPACE", HERE)
    configuration = Configuration(hand_over=HandOverConfiguration(**settings))
    with pytest.raises(InvalidParameterError, match=problem):
        ServerDriver.from_environment(configuration=configuration, follow_users=bool(settings))


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAMESPACE", HERE)
    monkeypatch.setattr("statefulroute.driver.hand_over_configuration.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"pip install 'statefulroute\[hand-over\]'"):
        ServerDriver.from_environment(configuration=TRANSFERRING, follow_users=True)


def test_blocking_handlers_transfer_states(cluster: InMemoryCluster) -> None:
    async def make(index: int) -> ServerDriver:
        return cluster.server_driver("game", index, configuration=TRANSFERRING, follow_users=True)

    received: list[bytes] = []
    iterated: list[bytes] = []
    leaving_thread = 0

    def state() -> Any:
        yield b"one"
        assert threading.get_ident() != leaving_thread
        yield b"two"

    def save(user: sync.LeavingUser) -> None:
        nonlocal leaving_thread
        leaving_thread = threading.get_ident()
        user.send(b"first")
        user.send(state())

    def receive(user: sync.ArrivingUser) -> None:
        assert (user.service, user.uid, user.origin) == ("game", "alice", 0)
        if not received:
            received.append(user.read())
        else:
            iterated.extend(user)

    in_loop = DriverInLoop(lambda: make(0))
    with sync.ServerDriver(in_loop) as old, sync.ServerDriver(DriverInLoop(lambda: make(1))) as new:
        old.on_leaving(save)
        new.on_arriving(receive)
        old.set_linked_pod(HERE, "alice", "game", 0)
        in_loop.read(lambda _: cluster.hand_over("game", "alice", 1))
        assert next(new.events()) == UserArrived("game", "alice", None)
    assert (received, iterated) == ([b"first"], [b"one", b"two"])


def test_blocking_send_ends_when_the_hand_over_is_withdrawn(cluster: InMemoryCluster) -> None:
    async def make(index: int) -> ServerDriver:
        return cluster.server_driver("game", index, configuration=TRANSFERRING, follow_users=True)

    errors: list[Exception] = []
    is_reading = threading.Event()

    def save(user: sync.LeavingUser) -> None:
        for _ in range(2):
            try:
                user.send(b"state")
            except HandOverError as error:
                errors.append(error)

    def receive(_: sync.ArrivingUser) -> None:
        is_reading.set()
        eventually(lambda: len(errors) == 2, "the old pod has given up")

    in_loop = DriverInLoop(lambda: make(0))
    with sync.ServerDriver(in_loop) as old, sync.ServerDriver(DriverInLoop(lambda: make(1))) as new:
        old.on_leaving(save)
        new.on_arriving(receive)
        old.set_linked_pod(HERE, "alice", "game", 0)
        in_loop.read(lambda _: cluster.hand_over("game", "alice", 1))
        assert is_reading.wait(5)
        in_loop.read(lambda _: cluster.withdraw_hand_over("game", "alice"))
        eventually(lambda: len(errors) == 2, "the old pod has given up")
    assert {str(error) for error in errors} == {"the hand-over was withdrawn, or the user has left"}
