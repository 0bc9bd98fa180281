"""The workload timer: how busy a service is, in annotations and events."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from statefulroute.api.annotations import WORKLOAD_LOAD, WORKLOAD_STATE, WORKLOAD_TIME
from statefulroute.api.vocabulary import WorkloadState
from statefulroute.cluster.errors import APIError
from statefulroute.controllers.routes.assessments import Assessments
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.load import LoadReport
from unit.controllers.environment import (
    GAME,
    deployment_pod,
    eventually,
    pod,
    route,
    workload,
)
from unit.controllers.timer_environment import (
    HANDLED,
    SETTLE_SECONDS,
    TimerEnvironment,
    running,
    settled,
    shorten_delays,
)


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_delays(monkeypatch)


@pytest.fixture
async def environment() -> TimerEnvironment:
    """A Deployment with one pod, which has reported a load of 4."""
    environment = TimerEnvironment()
    environment.routes.put(route(10, spec={"workloadRef": {"kind": "Deployment"}}, **HANDLED))
    environment.scales.put(11)
    environment.pods.put(deployment_pod(12, load_report=LoadReport(4, 4, environment.now)))
    return environment


ANNOTATIONS: dict[str, str] = {
    WORKLOAD_STATE: "High",
    WORKLOAD_LOAD: "4",
    WORKLOAD_TIME: "2026-06-01T12:00:00Z",
}


async def test_service_is_assessed_at_once_in_status_and_annotations(environment: TimerEnvironment) -> None:
    async with running(environment):
        await eventually(lambda: environment.last_status.workload_state)
        assert (environment.last_status.workload_state, environment.last_status.workload_load) == ("High", 4)
        await eventually(lambda: "game" in environment.scales.annotations)
    assert environment.scales.annotations["game"] == ANNOTATIONS
    assert environment.recorder.recorded == [], "the state was not known before"


async def test_nothing_is_assessed_before_the_loads_were_read(environment: TimerEnvironment) -> None:
    environment.scales.unblocked.clear()
    async with running(environment):
        await asyncio.sleep(3 * SETTLE_SECONDS)
        environment.scales.unblocked.set()
        assert environment.assessments.of(environment.route) == Assessment()


async def test_edit_of_the_thresholds_is_assessed_at_once_and_recorded(environment: TimerEnvironment) -> None:
    async with running(environment):
        await eventually(lambda: "game" in environment.scales.annotations)
        environment.edit(500, 2, workloadThresholds={"normal": 1, "high": 2, "overloaded": 4})
        await eventually(lambda: environment.last_status.workload_state is WorkloadState.OVERLOADED)
        await eventually(lambda: environment.scales.annotations["game"][WORKLOAD_STATE] == "Overloaded")
    assert environment.recorder.recorded == ["Overloaded"]


async def test_annotation_is_written_when_it_has_changed_and_removed_without_fresh_load(
    environment: TimerEnvironment,
) -> None:
    def patches() -> int:
        return sum(request.startswith("PATCH") for request in environment.scales.requests)

    async with running(environment):
        await eventually(lambda: patches() == 1)
        environment.edit(500, 2, tags=["other"])
        await settled(environment)
        assert patches() == 1, "assessed, with the same result"
        environment.now += timedelta(seconds=100)
        environment.edit(1000, 3, tags=["another"])
        await eventually(lambda: patches() == 2)
    assert environment.scales.annotations["game"] == {WORKLOAD_TIME: "2026-06-01T12:01:40Z"}


async def test_failed_annotation_is_retried_and_the_event_is_recorded_once(
    environment: TimerEnvironment,
) -> None:
    spec, status = {"workloadRef": {"kind": "Deployment"}}, {"workloadState": "Normal", "workloadLoad": 1}
    environment.routes.put(route(13, spec=spec, status=HANDLED["status"] | status))
    failures = iter([APIError(500, "", "no"), APIError(500, "", "no")])
    original = environment.scales.merge_patch

    async def fail_twice(path: str, body: bytes) -> bytes:
        if (failure := next(failures, None)) is not None:
            raise failure
        return await original(path, body)

    environment.scales.merge_patch = fail_twice  # type: ignore[method-assign]
    with capture_logs():
        async with running(environment):
            await eventually(lambda: "game" in environment.scales.annotations)
    assert environment.recorder.recorded == ["High"]


async def test_assessment_after_a_restart_is_compared_with_the_one_in_the_status(environment: TimerEnvironment) -> None:
    status = {"observedGeneration": 1, "workloadState": "Normal", "workloadLoad": 1}
    environment.routes.put(route(20, spec={"workloadRef": {"kind": "Deployment"}}, status=status))
    async with running(environment):
        await eventually(lambda: environment.recorder.recorded)
    assert environment.recorder.recorded == ["High"]


async def test_stateful_set_is_annotated_too() -> None:
    environment = TimerEnvironment()
    environment.routes.put(route(10, **HANDLED))
    environment.workloads.put(workload(11))
    environment.pods.put(pod(12, load_report=LoadReport(4, 4, environment.now)))
    async with running(environment):
        await eventually(lambda: environment.scales.annotations.get("game") == ANNOTATIONS)
    assert environment.scales.requests[-1] == "PATCH statefulsets/game"


async def test_service_is_assessed_without_annotations_if_they_are_switched_off() -> None:
    environment = TimerEnvironment(annotates=False)
    environment.routes.put(route(10, spec={"workloadRef": {"kind": "Deployment"}}, **HANDLED))
    environment.scales.put(11)
    environment.pods.put(deployment_pod(12, load_report=LoadReport(4, 4, environment.now)))
    async with running(environment):
        await eventually(lambda: environment.last_status.workload_state is WorkloadState.HIGH)
        await asyncio.sleep(3 * SETTLE_SECONDS)
    assert not [request for request in environment.scales.requests if request.endswith("deployments/game")]


def test_only_a_different_assessment_notifies_listeners() -> None:
    assessments, notified = Assessments(), list[object]()
    assessments.listen(notified.append)
    one = route(1, status={"workloadState": "High", "workloadLoad": 3})
    assert assessments.of(one) == Assessment(WorkloadState.HIGH, 3_000)
    for assessment in (
        Assessment(WorkloadState.HIGH, 3_000),
        Assessment(WorkloadState.HIGH, 3_100),
        Assessment(WorkloadState.HIGH, 3_100),
        Assessment(),
    ):
        assessments.put(one, assessment)
    assert notified == [GAME, GAME]
    assert assessments.of(one) == Assessment()
    assessments.forget(GAME)
    assert assessments.of(one) == Assessment(WorkloadState.HIGH, 3_000)
