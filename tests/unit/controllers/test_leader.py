"""The work starts with each term as the leader, and has ended before the next one."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest
from structlog.testing import capture_logs

from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.errors import ClusterError, UnreachableError
from statefulroute.cluster.fence import Fence
from statefulroute.cluster.lease import LeaseLock, LeaseTimes
from statefulroute.controllers import leader as leader_module
from statefulroute.controllers.leader import Leader
from statefulroute.controllers.leadership import LeaderElector, Leadership
from statefulroute.controllers.settings import Settings
from statefulroute.controllers.stop_signal import StopSignal
from unit.controllers.environment import eventually

TIMES = LeaseTimes(3, 0.2, 0.05)


class FakeLock:
    """A Lease that nobody else holds, until a test says otherwise."""

    def __init__(self) -> None:
        self.identity, self.holder = "this", ""
        self.holder_changed = asyncio.Event()
        self.error: ClusterError | None = None
        self.releases = 0

    @property
    def is_holder(self) -> bool:
        return self.holder == self.identity

    @property
    def seconds_until_free(self) -> float:
        return 0.0 if self.holder in {"", self.identity} else 10.0

    async def try_acquire_or_renew(self) -> float | None:
        if self.error is not None:
            raise self.error
        if self.seconds_until_free > 0:
            return None
        self.holder = self.identity
        return self.clock()

    async def release(self) -> bool:
        self.releases += 1
        self.holder = ""
        return True

    @staticmethod
    def clock() -> float:
        return asyncio.get_running_loop().time()

    def take(self, holder: str) -> None:
        """Lets another process take the Lease, or releases it."""
        self.holder = holder
        self.holder_changed.set()


class Environment:
    """An operator whose work a test controls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lock = FakeLock()
        self.routes = FakeInformer()
        self.scheduler = FakeScheduler()
        self.fence = Fence(self.lock.clock)
        elector = LeaderElector(cast("LeaseLock", self.lock), self.fence, TIMES)
        connection = Connection(server="https://nowhere.invalid", tls=ssl.create_default_context())
        self.leadership = Leadership(connection, self.fence, elector)
        self.stop = StopSignal()
        self.events: list[str] = []
        self.is_killed = False
        self.kopf = asyncio.Event()
        """Ends kopf, with an error if `failure` is one."""
        self.failure: Exception | None = None
        self.end_seconds = 0.0
        """How long kopf takes to stop."""
        monkeypatch.setattr(leader_module, "KopfRun", lambda *_, **__: FakeKopf(self))
        monkeypatch.setattr(leader_module, "_PAUSE_SECONDS", 0.05)
        components: Any = SimpleNamespace(
            links=FakeLinks(self),
            losses=FakeLosses(),
            disruptions=FakeLosses(),
            slots=FakeLosses(),
            recorder=FakeRecorder(self),
            expiry=FakeExpiry(),
            scheduler=self.scheduler,
            routes=FakeRoutes(),
            informers=SimpleNamespace(routes=self.routes),
        )
        leader = Leader(
            Settings(), self.leadership, components, lambda _: None, cast("Callable[[], NoReturn]", self._kill)
        )
        self.task = asyncio.create_task(self._run(leader))

    async def _run(self, leader: Leader) -> None:
        while not await self.stop.comes_before(self.leadership.acquire()):
            await leader.work(self.stop)
            self.events.append("ended")
        await self.leadership.release()

    def _kill(self) -> None:
        self.is_killed = True

    async def await_events(self, *events: str) -> None:
        """Waits for the next events, which must be these."""
        await eventually(lambda: len(self.events) >= len(events))
        assert self.events[: len(events)] == list(events)
        del self.events[: len(events)]

    async def await_leading(self) -> None:
        await self.await_events("links started", "kopf started")
        assert self.leadership.is_leader


class FakeLosses:
    def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass


class FakeScheduler(FakeLosses):
    def __init__(self) -> None:
        self.is_slow = False
        self.is_started = False
        self.has_started = asyncio.Event()

    def start(self) -> None:
        self.is_started = True
        if self.is_slow:
            self.has_started.clear()
        else:
            self.has_started.set()

    async def stop(self) -> None:
        self.is_started = False
        self.has_started.set()

    async def wait_started(self) -> bool:
        await self.has_started.wait()
        return self.is_started


class FakeLinks:
    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def start(self) -> None:
        self._environment.events.append("links started")

    async def stop(self) -> None:
        self._environment.events.append("links stopped")


class FakeKopf:
    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._stop = asyncio.Event()
        environment.kopf = self._stop

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        self._environment.events.append("kopf started")
        await self._stop.wait()
        await asyncio.sleep(self._environment.end_seconds)
        self._environment.events.append("kopf stopped")
        if self._environment.failure is not None:
            raise self._environment.failure


class FakeInformer:
    def __init__(self) -> None:
        self.replaced = asyncio.Event()

    async def wait_replaced(self) -> None:
        await self.replaced.wait()

    def clear_replaced(self) -> None:
        self.replaced.clear()


class FakeExpiry:
    async def run(self) -> None:
        await asyncio.Event().wait()


class FakeRecorder(FakeExpiry):
    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    async def shut_down(self) -> None:
        self._environment.events.append("recorder stopped")


class FakeRoutes:
    def register(self, registry: object) -> None:
        """Registers nothing."""


ENDED = ("links stopped", "kopf stopped", "recorder stopped", "ended")


@pytest.fixture
async def environment(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Environment]:
    running = Environment(monkeypatch)
    await running.await_leading()
    yield running
    running.task.cancel()
    await asyncio.wait([running.task])


async def test_operator_that_loses_the_lease_ends_its_work_and_stands_by(environment: Environment) -> None:
    with capture_logs() as logs:
        environment.lock.take("another")
        await environment.await_events(*ENDED)
    assert [(line["log_level"], line["event"], line.get("why")) for line in logs if "why" in line] == [
        ("warning", "lost the Lease: standing by", "another has taken it")
    ]
    assert not environment.leadership.is_leader
    assert environment.leadership.losses == 1
    assert environment.lock.releases == 0
    environment.lock.take("")
    await environment.await_leading()
    assert not environment.is_killed


async def test_error_of_work_that_ends_after_a_loss_is_logged(environment: Environment) -> None:
    environment.failure = RuntimeError("kopf has failed")
    with capture_logs() as logs:
        environment.lock.take("another")
        await environment.await_events(*ENDED)
    assert [line["exc_info"] for line in logs if "exc_info" in line] == [environment.failure]


async def test_operator_that_cannot_renew_stands_by_and_leads_again(environment: Environment) -> None:
    environment.lock.error = UnreachableError("the API server is too slow")
    await environment.await_events(*ENDED)
    assert environment.leadership.losses == 1
    environment.lock.error = None
    await environment.await_leading()


async def test_operator_whose_work_fails_gives_the_lease_up_and_leads_again(environment: Environment) -> None:
    environment.failure = RuntimeError("kopf has failed")
    with capture_logs() as logs:
        environment.kopf.set()
        await environment.await_events("kopf stopped", "links stopped", "recorder stopped", "ended")
    assert [line["event"] for line in logs if line["log_level"] == "error"] == [
        "the work has failed: another operator may lead"
    ]
    assert environment.leadership.losses == 1
    assert environment.lock.releases == 1
    environment.failure = None
    await environment.await_leading()


async def test_work_starts_again_with_the_same_lease_after_etcd_was_restored(environment: Environment) -> None:
    for _ in range(2):
        environment.routes.replaced.set()
        await environment.await_events(*ENDED[:-1], "links started", "kopf started")
    assert environment.leadership.is_leader
    assert (environment.leadership.losses, environment.lock.releases) == (0, 0)
    environment.routes.replaced.set()
    environment.stop._is_set.set()  # noqa: SLF001 - as a signal does
    await environment.await_events(*ENDED)
    await environment.task


async def test_kopf_starts_after_the_work_on_all_routes(environment: Environment) -> None:
    environment.scheduler.is_slow = True
    environment.routes.replaced.set()
    await environment.await_events(*ENDED[:-1], "links started")
    await asyncio.sleep(0.05)
    assert environment.events == []
    environment.scheduler.has_started.set()
    await environment.await_events("kopf started")


async def test_kopf_does_not_start_if_the_work_ends_before(environment: Environment) -> None:
    environment.scheduler.is_slow = True
    environment.routes.replaced.set()
    await environment.await_events(*ENDED[:-1], "links started")
    environment.lock.take("another")
    await environment.await_events("links stopped", "recorder stopped", "ended")


async def test_operator_that_is_stopped_ends_its_work_and_releases_the_lease(environment: Environment) -> None:
    environment.stop._is_set.set()  # noqa: SLF001 - as a signal does
    await environment.await_events(*ENDED)
    await environment.task
    assert environment.leadership.losses == 0
    assert environment.lock.releases >= 1
    assert not environment.lock.holder


async def test_operator_that_is_stopped_after_a_loss_leaves_the_lease_to_expire(environment: Environment) -> None:
    """Its last writes may still be in flight."""
    environment.lock.take("another")
    await environment.await_events(*ENDED)
    environment.stop._is_set.set()  # noqa: SLF001
    await environment.task
    assert environment.lock.releases == 0


async def test_operator_whose_work_does_not_end_after_a_loss_is_killed(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader_module, "_END_SECONDS", 0.01)
    environment.end_seconds = 0.1
    environment.lock.take("another")
    await environment.await_events(*ENDED)
    assert environment.is_killed


async def test_renewal_waits_as_the_api_server_asks_but_keeps_half_of_the_time_that_is_left() -> None:
    lock, times = FakeLock(), LeaseTimes(15, 10.0, 2.0)
    fence = Fence(lock.clock)
    elector = LeaderElector(cast("LeaseLock", lock), fence, times)
    fence.open_until(lock.clock() + 10.0)
    assert elector.renewal_pause(0.0) == 2.0
    assert elector.renewal_pause(1.0) == 2.0
    assert 3.0 <= elector.renewal_pause(3.0) <= 3.75
    assert elector.renewal_pause(31_536_000.0) == pytest.approx(5.0, abs=0.1)
    fence.open_until(lock.clock() + 3.0)
    assert elector.renewal_pause(31_536_000.0) == 2.0
    fence.open_until(lock.clock() + 1.0)
    assert elector.renewal_pause(31_536_000.0) == pytest.approx(1.0, abs=0.1)


async def test_candidate_waits_as_the_api_server_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = FakeLock()
    elector = LeaderElector(cast("LeaseLock", lock), Fence(lock.clock), TIMES)
    busy = ClusterError("too busy")
    busy.retry_after_seconds = 31_536_000.0
    lock.error = busy
    pauses: list[float] = []

    async def skip(seconds: float) -> None:
        pauses.append(seconds)
        lock.error = None
        await asyncio.sleep(0)

    with monkeypatch.context() as patch:
        patch.setattr(elector, "_wait_for_lease_change", skip)
        await elector.acquire()
        assert 32.0 <= pauses[0] <= 40.0
        lock.holder, lock.error = "other", busy
        acquiring = asyncio.create_task(elector.acquire())
        await eventually(lambda: lock.error is None)
        acquiring.cancel()
    assert pauses[1] == pytest.approx(10.0, abs=0.1)  # then, the Lease of the other one expires


async def test_candidate_that_was_asked_to_wait_acquires_a_released_lease_at_once() -> None:
    lock = FakeLock()
    elector = LeaderElector(cast("LeaseLock", lock), Fence(lock.clock), TIMES)
    busy = ClusterError("too busy")
    busy.retry_after_seconds = 32.0
    lock.holder, lock.error = "other", busy
    with capture_logs() as logs:
        acquiring = asyncio.create_task(elector.acquire())
        await eventually(lambda: bool(logs))
    lock.holder, lock.error = "", None
    lock.holder_changed.set()  # by the watch
    async with asyncio.timeout(5):
        await acquiring
    assert lock.is_holder
