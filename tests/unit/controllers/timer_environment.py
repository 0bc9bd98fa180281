"""A test environment whose route has its two timers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.load_client import LoadClient
from statefulroute.cluster.writes import PodWriter, RouteWriter
from statefulroute.controllers.monitoring.timers import Timer, TimerMetrics
from statefulroute.controllers.routes import state as state_timer
from statefulroute.controllers.routes import workload as workload_timer
from statefulroute.controllers.routes.assessments import Assessments
from statefulroute.controllers.routes.lost_pods import LostPodTracker
from statefulroute.controllers.routes.refresh import RouteRefresher
from statefulroute.controllers.routes.state import StateTimer
from statefulroute.controllers.routes.statuses import RouteStatuses
from statefulroute.controllers.routes.workload import WorkloadTimer
from statefulroute.domain.route import Route
from unit.controllers.environment import (
    GAME,
    Environment,
    FakeDaemonStopped,
    FakeLoadClient,
    FakePodWriter,
    FakeRouteWriter,
    eventually,
    idle,
    pod,
    route,
    workload,
)

#: Replaces the seconds of the timers, so that everything happens in the same order, and sooner.
SETTLE_SECONDS = 0.02

HANDLED: dict[str, Any] = {"status": {"observedGeneration": 1}}


def shorten_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the seconds of the timers."""
    monkeypatch.setattr(state_timer, "_SETTLE_SECONDS", SETTLE_SECONDS)
    monkeypatch.setattr(state_timer, "_PODS_A_SECOND", 10_000)
    monkeypatch.setattr(state_timer, "_RETRY_SECONDS", SETTLE_SECONDS)
    monkeypatch.setattr(workload_timer, "_RETRY_SECONDS", SETTLE_SECONDS)
    monkeypatch.setattr(workload_timer, "_FIRST_POLL_CHECK_SECONDS", SETTLE_SECONDS)


class TimerEnvironment(Environment):
    """A test environment whose route has its timers."""

    def __init__(self, *, annotates: bool = True) -> None:
        super().__init__()
        self.load_client = FakeLoadClient()
        self.pod_writer = FakePodWriter(self.informers)
        self.route_writer = FakeRouteWriter(self.informers)
        self.assessments = Assessments()
        recorder = cast("EventRecorder", self.recorder)
        lost_pods = LostPodTracker(recorder, lambda: self.now)
        self.route_store.listen(lost_pods.observe)
        timers = TimerMetrics()
        refresher = RouteRefresher(
            self.informers,
            self.route_store,
            cast("LoadClient", self.load_client),
            cast("PodWriter", self.pod_writer),
            lambda: self.now,
            annotates=annotates,
        )
        self.state_timer = StateTimer(
            self.informers,
            self.route_store,
            refresher,
            cast("RouteWriter", self.route_writer),
            self.assessments,
            timers.of(Timer.STATE),
            RouteStatuses(self.assessments, lost_pods, recorder, lambda: self.now),
            lost_pods,
        )
        self.workload_timer = WorkloadTimer(
            self.informers,
            self.route_store,
            self.state_timer,
            self.assessments,
            recorder,
            timers.of(Timer.WORKLOAD),
            lambda: self.now,
            annotates=annotates,
        )

    def with_http(self, *indices: int, **spec: Any) -> "TimerEnvironment":
        """Creates the route, its workload and pods that are polled."""
        load = {"load": {"source": "HTTP", "http": {"port": 80}}}
        self.routes.put(route(10, spec=load | spec, **HANDLED))
        self.workloads.put(workload(11))
        for index in indices:
            self.pods.put(reachable_pod(12 + index, index))
        return self

    def edit(self, version: int, generation: int, **spec: Any) -> None:
        """Edits the route; its handler has already handled the new generation."""
        previous = self.route.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        status = {"observedGeneration": generation}
        self.routes.put(route(version, generation=generation, spec=previous | spec, status=status))

    @property
    def route(self) -> Route:
        current = self.routes.get(*GAME)
        assert current is not None
        return current

    @property
    def last_status(self) -> Any:
        """The last written status."""
        return self.route.status


def reachable_pod(version: int, index: int, **more: Any) -> Any:
    return pod(version, index, **{"ip": f"10.0.0.{index}", "uid": f"uid-{index}"} | more)


@asynccontextmanager
async def running(environment: TimerEnvironment, *timers: StateTimer | WorkloadTimer) -> AsyncIterator[None]:
    """Runs timers; the state timer unless others are given."""
    stopped = FakeDaemonStopped()
    runs = [
        asyncio.create_task(timer.run(GAME, cast("Any", stopped))) for timer in timers or (environment.state_timer,)
    ]
    try:
        yield
        assert not any(run.done() for run in runs), "a timer stops only when it is asked to"
    finally:
        stopped.set()
        await asyncio.gather(*runs)


async def settled(environment: TimerEnvironment) -> None:
    """Waits until the status has been compared once more."""
    calls = environment.route_writer.calls
    await eventually(lambda: environment.route_writer.calls > calls)
    await idle()
