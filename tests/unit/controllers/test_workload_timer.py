"""The workload timer: how busy a service is, noted and told."""

import asyncio
from collections.abc import Callable
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
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_delays(monkeypatch)


@pytest.fixture
async def world() -> TimerEnvironment:
    """A Deployment with one pod, which has reported a load of 4."""
    world = TimerEnvironment()
    world.routes.put(route(10, spec={"workloadRef": {"kind": "Deployment"}}, **HANDLED))
    world.scales.put(11)
    world.pods.put(deployment_pod(12, load_report=LoadReport(4, 4, world.now)))
    return world


NOTED: dict[str, str] = {
    WORKLOAD_STATE: "High",
    WORKLOAD_LOAD: "4",
    WORKLOAD_TIME: "2026-06-01T12:00:00Z",
}


async def test_a_service_is_assessed_at_once_and_its_status_and_its_workload_say_so(world: TimerEnvironment) -> None:
    async with running(world, world.state_timer, world.workload_timer):
        await eventually(lambda: world.last_status.workload_state)
        assert (world.last_status.workload_state, world.last_status.workload_load) == ("High", 4)
        await eventually(lambda: "game" in world.scales.annotations)
    assert world.scales.annotations["game"] == NOTED
    assert world.recorder.recorded == [], "nobody could say before"


async def test_nothing_is_assessed_before_the_loads_were_read(world: TimerEnvironment) -> None:
    async with running(world, world.workload_timer):
        await asyncio.sleep(3 * SETTLE_SECONDS)
        assert world.assessments.of(world.route) == Assessment()


async def test_an_edit_of_the_thresholds_is_assessed_at_once_and_told(world: TimerEnvironment) -> None:
    async with running(world, world.state_timer, world.workload_timer):
        await eventually(lambda: "game" in world.scales.annotations)
        world.edit(500, 2, workloadThresholds={"normal": 1, "high": 2, "overloaded": 4})
        await eventually(lambda: world.last_status.workload_state is WorkloadState.OVERLOADED)
        await eventually(lambda: world.scales.annotations["game"][WORKLOAD_STATE] == "Overloaded")
    assert world.recorder.recorded == ["Overloaded"]


async def test_a_note_is_written_when_it_has_moved_and_removed_when_nobody_can_say(world: TimerEnvironment) -> None:
    def patches() -> int:
        return sum(each.startswith("PATCH") for each in world.scales.requests)

    async with running(world, world.state_timer, world.workload_timer):
        await eventually(lambda: patches() == 1)
        world.edit(500, 2, tags=["other"])
        await settled(world)
        assert patches() == 1, "assessed, and found to be the same"
        world.now += timedelta(seconds=100)
        world.edit(1000, 3, tags=["another"])
        await eventually(lambda: patches() == 2)
    assert world.scales.annotations["game"] == {WORKLOAD_TIME: "2026-06-01T12:01:40Z"}


async def test_a_note_that_could_not_be_written_is_written_later_and_the_event_is_not_told_twice(
    world: TimerEnvironment,
) -> None:
    world.assessments.put(world.route, Assessment(WorkloadState.NORMAL, 1_000))
    refuse: list[Callable[[], None]] = []
    original = world.scales.merge_patch

    async def refusing(path: str, body: bytes) -> bytes:
        if len(refuse) < 2:
            refuse.append(lambda: None)
            raise APIError(500, "", "no")
        return await original(path, body)

    world.scales.merge_patch = refusing  # type: ignore[method-assign]
    with capture_logs():
        async with running(world, world.state_timer, world.workload_timer):
            await eventually(lambda: "game" in world.scales.annotations)
    assert world.recorder.recorded == ["High"]


async def test_what_was_found_before_a_restart_is_what_a_change_is_told_against(world: TimerEnvironment) -> None:
    told = {"observedGeneration": 1, "workloadState": "Normal", "workloadLoad": 1}
    world.routes.put(route(20, spec={"workloadRef": {"kind": "Deployment"}}, status=told))
    async with running(world, world.state_timer, world.workload_timer):
        await eventually(lambda: world.recorder.recorded)
    assert world.recorder.recorded == ["High"]


async def test_a_stateful_set_is_noted_too() -> None:
    world = TimerEnvironment()
    world.routes.put(route(10, **HANDLED))
    world.workloads.put(workload(11))
    world.pods.put(pod(12, load_report=LoadReport(4, 4, world.now)))
    async with running(world, world.state_timer, world.workload_timer):
        await eventually(lambda: world.scales.annotations.get("game") == NOTED)
    assert world.scales.requests[-1] == "PATCH statefulsets/game"


def test_an_assessment_that_differs_is_told_and_one_that_is_the_same_is_not() -> None:
    assessments, told = Assessments(), list[object]()
    assessments.listen(told.append)
    one = route(1, status={"workloadState": "High", "workloadLoad": 3})
    assert assessments.of(one) == Assessment(WorkloadState.HIGH, 3_000)
    for found in (
        Assessment(WorkloadState.HIGH, 3_000),
        Assessment(WorkloadState.HIGH, 3_100),
        Assessment(WorkloadState.HIGH, 3_100),
        Assessment(),
    ):
        assessments.put(one, found)
    assert told == [GAME, GAME]
    assert assessments.of(one) == Assessment()
    assessments.forget(GAME)
    assert assessments.of(one) == Assessment(WorkloadState.HIGH, 3_000)
