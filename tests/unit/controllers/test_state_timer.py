"""The state timer: when a route is read, and when its status is written."""

import asyncio
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.cluster.errors import APIError, ConflictError, UnreachableError
from statefulroute.controllers.routes import state as state_timer
from statefulroute.domain.load import LoadReport, LoadResponse
from unit.controllers.environment import (
    GAME,
    FakeDaemonStopped,
    deployment_pod,
    eventually,
    idle,
    link,
    route,
    workload,
)
from unit.controllers.timer_environment import (
    HANDLED,
    SETTLE_SECONDS,
    TimerEnvironment,
    reachable_pod,
    running,
    settled,
    shorten_delays,
)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_delays(monkeypatch)


async def test_the_first_status_waits_for_the_answers_of_the_pods_and_holds_them() -> None:
    world = TimerEnvironment().with_http(0, 1)
    world.load_client.answers = {
        "10.0.0.0": LoadResponse(3, 7),
        "10.0.0.1": LoadResponse(1, 0, RoutingState.DENY_NEW_CALL),
    }
    world.load_client.unblocked.clear()
    async with running(world):
        await eventually(lambda: len(world.load_client.polled) == 2)
        await asyncio.sleep(3 * SETTLE_SECONDS)
        assert world.route_writer.calls == 0
        assert not world.state_timer.has_polled(GAME)
        world.load_client.unblocked.set()
        await eventually(lambda: world.route_writer.written)
        assert world.state_timer.has_polled(GAME)
    assert [(each.load_state, each.routing_state) for each in world.last_status.pods] == [
        (3, "Ready"),
        (1, "DenyNewCall"),
    ]
    assert world.last_status.best_pod_index == 0
    assert not world.state_timer.has_polled(GAME)


async def test_pods_that_are_slow_hold_up_the_first_status_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_timer, "_FIRST_POLL_SECONDS", SETTLE_SECONDS)
    world = TimerEnvironment().with_http(0)
    world.load_client.unblocked.clear()
    async with running(world):
        await eventually(lambda: world.route_writer.written)
        assert world.last_status.pods[0].load_state is None


async def test_a_status_that_says_it_all_is_not_written_again() -> None:
    world = TimerEnvironment().with_http(0)
    world.load_client.answers["10.0.0.0"] = LoadResponse(3, 7)
    async with running(world):
        await eventually(lambda: world.route_writer.written)
        await idle()
        written = len(world.route_writer.written)
        world.links.put(link(30, "alice", pod=0))
        await settled(world)
        assert world.route_writer.written[written:][0]["links"] == 1
        written = len(world.route_writer.written)
        world.links.put(link(31, "bob", pod=0))
        world.links.delete(GAME, "game.alice", 40)
        await settled(world)
        assert world.route_writer.written[written:] == [], "one has come and one has gone"


async def test_changes_of_a_moment_go_into_one_status() -> None:
    world = TimerEnvironment().with_http(0)
    async with running(world):
        await eventually(lambda: world.route_writer.written)
        await idle()
        written = len(world.route_writer.written)
        for number in range(50):
            world.links.put(link(30, f"user-{number}", pod=0))
            await idle()
        await eventually(lambda: world.last_status.links == 50)
        assert len(world.route_writer.written) - written <= 5


async def test_a_pod_that_becomes_ready_later_is_asked_at_once() -> None:
    world = TimerEnvironment().with_http(0, statePeriodSeconds=86_400)
    world.load_client.answers = {"10.0.0.0": LoadResponse(3), "10.0.0.1": LoadResponse(1)}
    async with running(world):
        await eventually(lambda: world.route_writer.written)
        world.pods.put(reachable_pod(50, 1, service_state=ServiceState.PENDING, ip=""))
        await eventually(lambda: len(world.last_status.pods) == 2)
        assert world.load_client.polled == ["10.0.0.0:80"]
        world.pods.put(reachable_pod(51, 1))
        await eventually(lambda: world.last_status.best_pod_index == 1)
        assert world.load_client.polled == ["10.0.0.0:80", "10.0.0.1:80"]


async def test_a_report_that_nobody_asked_for_reads_nothing() -> None:
    world = TimerEnvironment()
    world.routes.put(route(10, **HANDLED))
    world.workloads.put(workload(11))
    world.pods.put(reachable_pod(12, 0))
    async with running(world):
        await eventually(lambda: world.route_writer.written)
        world.pods.put(reachable_pod(50, 0, load_report=LoadReport(3, 0, world.now)))
        await eventually(lambda: world.last_status.pods[0].load_state == 3)
    assert world.load_client.polled == []


@pytest.mark.parametrize("period", [1, 86_400])
async def test_an_unexpected_error_in_a_reading_does_not_end_the_timer(period: int) -> None:
    world = TimerEnvironment().with_http(0, statePeriodSeconds=period)
    world.load_client.answers["10.0.0.0"] = RuntimeError("a fault in the program")
    with capture_logs() as logs:
        async with running(world):
            await eventually(lambda: world.route_writer.written)
            assert world.last_status.pods[0].load_state is None
            world.load_client.answers["10.0.0.0"] = LoadResponse(3)
            if period > 1:
                world.pods.put(reachable_pod(50, 0, uid="another"))
            await eventually(lambda: world.last_status.pods[0].load_state == 3)
    assert [each["event"] for each in logs if each["log_level"] == "error"] == ["an unexpected error: trying again"]


async def test_a_status_that_could_not_be_written_is_written_later() -> None:
    world = TimerEnvironment().with_http(0)
    world.route_writer.failures = [UnreachableError("cut"), APIError(500, "", "no")]
    with capture_logs():
        async with running(world):
            await eventually(lambda: world.route_writer.written)
    assert world.route_writer.calls >= 3


async def test_a_status_that_somebody_else_was_faster_to_change_is_said_again_and_no_failure() -> None:
    world = TimerEnvironment().with_http(0)
    world.route_writer.failures = [ConflictError(409, "Conflict", "the object has been modified")]
    with capture_logs() as logs:
        async with running(world):
            await eventually(lambda: world.route_writer.written)
    assert world.route_writer.calls >= 2
    assert not [each for each in logs if each["log_level"] in {"warning", "error"}]


async def test_the_status_of_a_new_generation_is_left_to_the_handler() -> None:
    world = TimerEnvironment().with_http(0)
    async with running(world):
        await eventually(lambda: world.route_writer.written)
        world.routes.put(route(500, generation=2, status={"observedGeneration": 1}))
        await asyncio.sleep(3 * SETTLE_SECONDS)
        assert world.route.resource_version == 500
        world.routes.put(route(501, generation=2, status={"observedGeneration": 2}))
        await eventually(lambda: world.route.resource_version > 501)


async def test_the_status_of_a_new_generation_is_written_where_the_handler_never_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state_timer, "_HANDLER_SECONDS", 5 * SETTLE_SECONDS)
    world = TimerEnvironment().with_http(0)
    async with running(world):
        await eventually(lambda: world.route_writer.written)
        world.routes.put(route(500, generation=2, status={"observedGeneration": 1}))
        await eventually(lambda: world.route.resource_version > 500)
        assert world.last_status.observed_generation == 2


async def test_a_route_that_is_being_deleted_is_neither_read_nor_written() -> None:
    world = TimerEnvironment().with_http(0)
    world.routes.put(route(20, is_deleting=True, spec={"load": {"source": "HTTP", "http": {"port": 80}}}, **HANDLED))
    async with running(world):
        await asyncio.sleep(3 * SETTLE_SECONDS)
    assert (world.load_client.polled, world.route_writer.calls) == ([], 0)


async def test_a_workload_that_does_not_exist_yet_is_found_before_the_period_is_over() -> None:
    world = TimerEnvironment()
    spec = {"workloadRef": {"kind": "Deployment"}, "statePeriodSeconds": 86_400}
    world.routes.put(route(10, spec=spec, **HANDLED))
    world.pods.put(deployment_pod(12))
    async with running(world):
        await eventually(lambda: world.route_writer.written)
        assert world.last_status.conditions[0].reason == "WorkloadNotFound"
        world.scales.put(20)
        await eventually(lambda: world.last_status.best_pod_name == "game-a")


async def test_a_workload_that_is_not_watched_is_read_anew_when_a_pod_comes() -> None:
    world = TimerEnvironment()
    spec = {"workloadRef": {"kind": "Deployment"}, "statePeriodSeconds": 86_400}
    world.routes.put(route(10, spec=spec, **HANDLED))
    world.scales.put(11)
    async with running(world):
        await eventually(lambda: world.last_status.replicas == 3)
        world.scales.put(12, replicas=4)
        world.pods.put(deployment_pod(20))
        await eventually(lambda: world.last_status.replicas == 4)


async def test_two_timers_of_one_route_do_not_take_each_others_place() -> None:
    world = TimerEnvironment().with_http(0)
    first, second = FakeDaemonStopped(), FakeDaemonStopped()
    runs = [asyncio.create_task(world.state_timer.run(GAME, cast("Any", first)))]
    await idle()
    runs.append(asyncio.create_task(world.state_timer.run(GAME, cast("Any", second))))
    await idle()
    await eventually(lambda: world.state_timer.has_polled(GAME))
    first.set()
    await runs[0]
    assert world.state_timer.has_polled(GAME)
    second.set()
    await runs[1]
    assert list(world.route_store._watchers) == []  # noqa: SLF001 - a timer that has ended must leave nothing
