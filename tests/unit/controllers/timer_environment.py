"""A test environment whose route has its two timers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.load_client import LoadClient
from statefulroute.cluster.writes import PodWriter, RouteWriter
from statefulroute.controllers.disruption.statuses import DisruptionStatuses
from statefulroute.controllers.monitoring.timers import Timer, TimerMetrics
from statefulroute.controllers.routes import timers
from statefulroute.controllers.routes.assessments import Assessments
from statefulroute.controllers.routes.handlers import RouteHandlers
from statefulroute.controllers.routes.lost_pods import LostPodTracker
from statefulroute.controllers.routes.refresh import RouteRefresher
from statefulroute.controllers.routes.scheduler import RouteScheduler
from statefulroute.controllers.routes.status_updates import StatusUpdater
from statefulroute.controllers.routes.statuses import RouteStatuses
from statefulroute.controllers.routes.workload import WorkloadAssessor
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.route import Route
from unit.controllers.environment import (
    GAME,
    Environment,
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
    monkeypatch.setattr(timers, "_SETTLE_SECONDS", SETTLE_SECONDS)
    monkeypatch.setattr(timers, "_PODS_A_SECOND", 10_000)
    monkeypatch.setattr(timers, "_RETRY_SECONDS", SETTLE_SECONDS)
    monkeypatch.setattr(timers, "_ASSESSMENT_RETRY_SECONDS", SETTLE_SECONDS)


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
        metrics = TimerMetrics()
        refresher = RouteRefresher(
            self.informers,
            self.route_store,
            cast("LoadClient", self.load_client),
            cast("PodWriter", self.pod_writer),
            lambda: self.now,
            annotates=annotates,
        )
        statuses = RouteStatuses(self.assessments, lost_pods, DisruptionStatuses(), recorder, lambda: self.now)
        route_writer = cast("RouteWriter", self.route_writer)

        def forget(key: RouteKey) -> None:
            for part in (refresher, lost_pods, statuses, self.assessments):
                part.forget(key)

        self.scheduler = RouteScheduler(
            self.informers, self.route_store, self.controller, self.assessments, metrics, forget
        )
        self.handlers = RouteHandlers(
            informers=self.informers,
            route_store=self.route_store,
            scheduler=self.scheduler,
            refresher=refresher,
            updater=StatusUpdater(refresher, route_writer, statuses),
            assessor=WorkloadAssessor(
                self.informers,
                self.route_store,
                self.assessments,
                recorder,
                metrics.of(Timer.WORKLOAD),
                lambda: self.now,
                annotates=annotates,
            ),
            writer=route_writer,
            statuses=statuses,
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
async def running(environment: TimerEnvironment) -> AsyncIterator[None]:
    """Runs the timers of all routes, and reconciles the links."""
    environment.scheduler.start()
    try:
        yield
    finally:
        await environment.scheduler.stop()
        await environment.controller.stop()


async def settled(environment: TimerEnvironment) -> None:
    """Waits until the status has been compared once more."""
    calls = environment.route_writer.calls
    await eventually(lambda: environment.route_writer.calls > calls)
    await idle()
