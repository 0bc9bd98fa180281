"""Runs of timers that would find nothing to do are skipped; any change of what they depend on ends that."""
# ruff: noqa: SLF001 - the timers count what they do

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from statefulroute.api.statefulroute import WorkloadRef
from statefulroute.api.vocabulary import ServiceState
from statefulroute.cluster.errors import UnreachableError
from statefulroute.controllers.routes import route_timer
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.load import LoadReport, LoadResponse
from statefulroute.domain.pod import PodAnnotations
from statefulroute.domain.route import Route
from statefulroute.domain.workload import WorkloadAnnotations
from unit.controllers.environment import eventually, link, route, workload
from unit.controllers.timer_environment import HANDLED, TimerEnvironment, reachable_pod, running, shorten_delays

_PERIOD = 0.01
_ANNOTATIONS = {"annotations": WorkloadAnnotations("High", "4")}


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_delays(monkeypatch)


class IdleEnvironment(TimerEnvironment):
    """A route to a StatefulSet whose only pod has reported its load, and has its annotations."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = {"state": 0, "status": 0, "workload": 0}
        self.lags = {"state": 0, "workload": 0}
        self.routes.put(_with_short_periods(route(10, **HANDLED)))
        self.workloads.put(workload(11, **_ANNOTATIONS))
        self.put_pod(12)
        scheduler: Any = self.scheduler
        for name, timer, work in (
            ("state", scheduler._state, "_refresh"),
            ("status", scheduler._status, "_write"),
            ("workload", scheduler._workload, "_assess"),
        ):
            setattr(timer, work, self._count(name, getattr(timer, work)))
        for name, timer in (("state", scheduler._state), ("workload", scheduler._workload)):
            timer._meter.observe_lag = self._count_lags(name)

    def put_pod(self, version: int, load: int = 4, **more: Any) -> None:
        fields = {"load_report": LoadReport(load, load, self.now), "annotations": PodAnnotations("4")} | more
        self.pods.put(reachable_pod(version, 0, **fields))

    async def wait_skipped(self) -> None:
        """Waits until nothing but the count of the runs changes."""
        before: object = None
        while before != (before := dict(self.runs)):
            lags = dict(self.lags)
            await eventually(lambda lags=lags: all(self.lags[name] >= lags[name] + 5 for name in lags))  # type: ignore[misc]

    def _count(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        async def counted(*arguments: Any) -> Any:
            self.runs[name] += 1
            return await work(*arguments)

        return counted

    def _count_lags(self, name: str) -> Callable[[float], None]:
        def observe(_: float) -> None:
            self.lags[name] += 1

        return observe


def _with_short_periods(item: Route) -> Route:
    periods = {"state_period_seconds": _PERIOD, "workload_period_seconds": _PERIOD}
    return replace(item, spec=item.spec.model_copy(update=periods))


async def test_runs_are_skipped_while_nothing_changes() -> None:
    environment = IdleEnvironment()
    async with running(environment):
        await eventually(lambda: environment.last_status.workload_state)
        await environment.wait_skipped()
        environment.now += timedelta(seconds=1)
        environment.put_pod(50)  # reports the same load once more
        runs = dict(environment.runs)
        await environment.wait_skipped()
        assert environment.runs == runs
    assert environment.pod_writer.written == []


def _edit_status(environment: IdleEnvironment) -> None:
    edited = environment.last_status.model_copy(update={"links": 7})
    environment.routes.put(replace(environment.route, resource_version=500, status=edited))


CHANGES: dict[str, tuple[Callable[[IdleEnvironment], None], tuple[str, ...]]] = {
    "a load": (lambda each: each.put_pod(50, load=9), ("state", "status", "workload")),
    "an annotation of the pod": (lambda each: each.put_pod(50, annotations=PodAnnotations("1")), ("state", "workload")),
    "a pod": (
        lambda each: each.put_pod(50, service_state=ServiceState.NOT_READY, is_ready=False),
        ("state", "status", "workload"),
    ),
    "a link": (lambda each: each.links.put(link(50, "alice", pod=0)), ("state", "status", "workload")),
    "an annotation of the workload": (lambda each: each.workloads.put(workload(50)), ("state", "workload")),
    "the status, by another client": (_edit_status, ("state", "status")),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_change_ends_the_skipping(change: str) -> None:
    environment = IdleEnvironment()
    apply, timers = CHANGES[change]
    async with running(environment):
        await eventually(lambda: environment.last_status.workload_state)
        await environment.wait_skipped()
        runs = dict(environment.runs)
        apply(environment)
        await eventually(lambda: all(environment.runs[name] > runs[name] for name in timers))
        await environment.wait_skipped()
    assert environment.last_status.links == len(list(environment.links))


async def test_failed_annotation_is_not_skipped() -> None:
    environment = IdleEnvironment()
    environment.put_pod(13, annotations=PodAnnotations())
    environment.pod_writer.failures += [UnreachableError("no route to host")] * 3
    async with running(environment):
        await eventually(lambda: environment.pod_writer.written)


async def test_workload_that_is_left_late_is_not_shown_for_longer() -> None:
    environment = IdleEnvironment()
    environment.workloads.put(workload(13, "other"))
    async with running(environment):
        await eventually(lambda: environment.last_status.workload_state)
        await environment.wait_skipped()
        environment.pod_writer.failures += [UnreachableError("no route to host")] * 4
        current = environment.route
        spec = current.spec.model_copy(update={"workload_ref": WorkloadRef(name="other")})
        status = current.status.model_copy(update={"observed_generation": 2})
        environment.routes.put(replace(current, resource_version=500, generation=2, spec=spec, status=status))
        await eventually(lambda: environment.pod_writer.written)
        await environment.wait_skipped()
    assert environment.last_status.workload.name == "other"


async def test_deletion_of_the_route_that_annotates_ends_the_skipping_of_another_one() -> None:
    environment, first = IdleEnvironment(), RouteKey("games", "first")
    environment.routes.put(route(20, first, spec={"workloadRef": {"name": "game"}}, **HANDLED))
    async with running(environment):
        await eventually(lambda: environment.last_status.workload_state)
        await environment.wait_skipped()
        runs, annotating = dict(environment.runs), environment.routes.get(*first)
        assert annotating is not None
        environment.routes.put(replace(annotating, resource_version=600, is_deleting=True))
        await eventually(lambda: all(environment.runs[name] > runs[name] for name in ("state", "workload")))


async def test_work_is_repeated_after_some_time_without_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route_timer, "_RESYNC_SECONDS", 10 * _PERIOD)
    environment = IdleEnvironment()
    async with running(environment):
        await eventually(lambda: environment.last_status.workload_state)
        runs = dict(environment.runs)
        await eventually(lambda: all(environment.runs[name] >= runs[name] + 3 for name in runs))


async def test_polls_of_the_same_load_are_not_skipped_and_lead_to_no_status() -> None:
    environment = TimerEnvironment().with_http(0)
    environment.load_client.responses["10.0.0.0"] = LoadResponse(3, 7)
    environment.routes.put(_with_short_periods(replace(environment.route, resource_version=500)))
    polled = environment.load_client.polled
    async with running(environment):
        await eventually(lambda: environment.last_status.workload_state and len(polled) > 10)
        calls = environment.route_writer.calls
        environment.now += timedelta(seconds=1)
        await eventually(lambda: len(polled) > 30)
        assert environment.route_writer.calls == calls
        environment.load_client.responses["10.0.0.0"] = LoadResponse(4, 7)
        await eventually(lambda: environment.last_status.pods[0].load_state == 4)
