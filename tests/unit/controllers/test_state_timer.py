"""The state timer: when a route is read, and when its status is written."""

import asyncio
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.cluster.errors import APIError, ConflictError, UnreachableError
from statefulroute.controllers.routes import state as state_timer
from statefulroute.domain.load import Answer, Report
from unit.controllers.timed import ALL_TOLD, SETTLE_SECONDS, Timed, at, hurry, running, settled
from unit.controllers.worlds import (
    GAME,
    Stopped,
    eventually,
    idle,
    link,
    named,
    route,
    workload,
)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)


async def test_the_first_status_waits_for_the_answers_of_the_pods_and_holds_them() -> None:
    world = Timed().with_http(0, 1)
    world.endpoints.answers = {"10.0.0.0": Answer(3, 7), "10.0.0.1": Answer(1, 0, RoutingState.DENY_NEW_CALL)}
    world.endpoints.gate.clear()
    async with running(world):
        await eventually(lambda: len(world.endpoints.asked) == 2)
        await asyncio.sleep(3 * SETTLE_SECONDS)
        assert world.status.looks == 0
        assert not world.state.has_read(GAME)
        world.endpoints.gate.set()
        await eventually(lambda: world.status.written)
        assert world.state.has_read(GAME)
    assert [(each.load_state, each.routing_state) for each in world.last.pods] == [(3, "Ready"), (1, "DenyNewCall")]
    assert world.last.best_pod_index == 0
    assert not world.state.has_read(GAME)


async def test_pods_that_are_slow_hold_up_the_first_status_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_timer, "_FIRST_READING_SECONDS", SETTLE_SECONDS)
    world = Timed().with_http(0)
    world.endpoints.gate.clear()
    async with running(world):
        await eventually(lambda: world.status.written)
        assert world.last.pods[0].load_state is None


async def test_a_status_that_says_it_all_is_not_written_again() -> None:
    world = Timed().with_http(0)
    world.endpoints.answers["10.0.0.0"] = Answer(3, 7)
    async with running(world):
        await eventually(lambda: world.status.written)
        await idle()
        written = len(world.status.written)
        world.links.put(link(30, "alice", pod=0))
        await settled(world)
        assert world.status.written[written:][0]["links"] == 1
        written = len(world.status.written)
        world.links.put(link(31, "bob", pod=0))
        world.links.drop(GAME, "game.alice", 40)
        await settled(world)
        assert world.status.written[written:] == [], "one has come and one has gone"


async def test_changes_of_a_moment_go_into_one_status() -> None:
    world = Timed().with_http(0)
    async with running(world):
        await eventually(lambda: world.status.written)
        await idle()
        written = len(world.status.written)
        for number in range(50):
            world.links.put(link(30, f"user-{number}", pod=0))
            await idle()
        await eventually(lambda: world.last.links == 50)
        assert len(world.status.written) - written <= 5


async def test_a_pod_that_becomes_ready_later_is_asked_at_once() -> None:
    world = Timed().with_http(0, statePeriodSeconds=86_400)
    world.endpoints.answers = {"10.0.0.0": Answer(3), "10.0.0.1": Answer(1)}
    async with running(world):
        await eventually(lambda: world.status.written)
        world.pods.put(at(50, 1, service_state=ServiceState.PENDING, ip=""))
        await eventually(lambda: len(world.last.pods) == 2)
        assert world.endpoints.asked == ["10.0.0.0:80"]
        world.pods.put(at(51, 1))
        await eventually(lambda: world.last.best_pod_index == 1)
        assert world.endpoints.asked == ["10.0.0.0:80", "10.0.0.1:80"]


async def test_a_report_that_nobody_asked_for_reads_nothing() -> None:
    world = Timed()
    world.routes.put(route(10, **ALL_TOLD))
    world.workloads.put(workload(11))
    world.pods.put(at(12, 0))
    async with running(world):
        await eventually(lambda: world.status.written)
        world.pods.put(at(50, 0, report=Report(3, 0, world.now)))
        await eventually(lambda: world.last.pods[0].load_state == 3)
    assert world.endpoints.asked == []


@pytest.mark.parametrize("period", [1, 86_400])
async def test_an_unexpected_error_in_a_reading_does_not_end_the_timer(period: int) -> None:
    world = Timed().with_http(0, statePeriodSeconds=period)
    world.endpoints.answers["10.0.0.0"] = RuntimeError("a fault in the program")
    with capture_logs() as logs:
        async with running(world):
            await eventually(lambda: world.status.written)
            assert world.last.pods[0].load_state is None
            world.endpoints.answers["10.0.0.0"] = Answer(3)
            if period > 1:
                world.pods.put(at(50, 0, uid="another"))
            await eventually(lambda: world.last.pods[0].load_state == 3)
    assert [each["event"] for each in logs if each["log_level"] == "error"] == ["an unexpected error: trying again"]


async def test_a_status_that_could_not_be_written_is_written_later() -> None:
    world = Timed().with_http(0)
    world.status.failures = [UnreachableError("cut"), APIError(500, "", "no")]
    with capture_logs():
        async with running(world):
            await eventually(lambda: world.status.written)
    assert world.status.looks >= 3


async def test_a_status_that_somebody_else_was_faster_to_change_is_said_again_and_no_failure() -> None:
    world = Timed().with_http(0)
    world.status.failures = [ConflictError(409, "Conflict", "the object has been modified")]
    with capture_logs() as logs:
        async with running(world):
            await eventually(lambda: world.status.written)
    assert world.status.looks >= 2
    assert not [each for each in logs if each["log_level"] in {"warning", "error"}]


async def test_the_status_of_a_new_generation_is_left_to_the_handler() -> None:
    world = Timed().with_http(0)
    async with running(world):
        await eventually(lambda: world.status.written)
        world.routes.put(route(500, generation=2, status={"observedGeneration": 1}))
        await asyncio.sleep(3 * SETTLE_SECONDS)
        assert world.route.resource_version == 500
        world.routes.put(route(501, generation=2, status={"observedGeneration": 2}))
        await eventually(lambda: world.route.resource_version > 501)


async def test_the_status_of_a_new_generation_is_written_where_the_handler_never_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state_timer, "_HANDLER_SECONDS", 5 * SETTLE_SECONDS)
    world = Timed().with_http(0)
    async with running(world):
        await eventually(lambda: world.status.written)
        world.routes.put(route(500, generation=2, status={"observedGeneration": 1}))
        await eventually(lambda: world.route.resource_version > 500)
        assert world.last.observed_generation == 2


async def test_a_route_that_is_being_deleted_is_neither_read_nor_written() -> None:
    world = Timed().with_http(0)
    world.routes.put(route(20, deleting=True, spec={"load": {"source": "HTTP", "http": {"port": 80}}}, **ALL_TOLD))
    async with running(world):
        await asyncio.sleep(3 * SETTLE_SECONDS)
    assert (world.endpoints.asked, world.status.looks) == ([], 0)


async def test_a_workload_that_does_not_exist_yet_is_found_before_the_period_is_over() -> None:
    world = Timed()
    spec = {"workloadRef": {"kind": "Deployment"}, "statePeriodSeconds": 86_400}
    world.routes.put(route(10, spec=spec, **ALL_TOLD))
    world.pods.put(named(12))
    async with running(world):
        await eventually(lambda: world.status.written)
        assert world.last.conditions[0].reason == "WorkloadNotFound"
        world.scales.put(20)
        await eventually(lambda: world.last.best_pod_name == "game-a")


async def test_a_workload_that_is_not_watched_is_read_anew_when_a_pod_comes() -> None:
    world = Timed()
    spec = {"workloadRef": {"kind": "Deployment"}, "statePeriodSeconds": 86_400}
    world.routes.put(route(10, spec=spec, **ALL_TOLD))
    world.scales.put(11)
    async with running(world):
        await eventually(lambda: world.last.replicas == 3)
        world.scales.put(12, replicas=4)
        world.pods.put(named(20))
        await eventually(lambda: world.last.replicas == 4)


async def test_two_timers_of_one_route_do_not_take_each_others_place() -> None:
    world = Timed().with_http(0)
    first, second = Stopped(), Stopped()
    runs = [asyncio.create_task(world.state.run(GAME, cast("Any", first)))]
    await idle()
    runs.append(asyncio.create_task(world.state.run(GAME, cast("Any", second))))
    await idle()
    await eventually(lambda: world.state.has_read(GAME))
    first.set()
    await runs[0]
    assert world.state.has_read(GAME)
    second.set()
    await runs[1]
    assert list(world.views._watchers) == []  # noqa: SLF001 - a timer that has ended must leave nothing
