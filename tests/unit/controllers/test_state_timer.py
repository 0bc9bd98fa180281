"""The state timer: when a route is polled, and when its status is written."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import kopf
import pytest
from structlog.testing import capture_logs

from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.cluster.errors import APIError, ConflictError, UnreachableError
from statefulroute.controllers import turns
from statefulroute.controllers.routes import handlers, scheduler, timers
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.load import LoadReport, LoadResponse
from statefulroute.domain.pod import Owner, Pod, PodAnnotations
from statefulroute.domain.route import Route, RouteView
from unit.controllers.environment import (
    GAME,
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
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_delays(monkeypatch)


async def test_first_status_waits_for_the_responses_of_the_pods_and_contains_them() -> None:
    environment = TimerEnvironment().with_http(0, 1)
    environment.load_client.responses = {
        "10.0.0.0": LoadResponse(3, 7),
        "10.0.0.1": LoadResponse(1, 0, RoutingState.DENY_NEW_CALL),
    }
    environment.load_client.unblocked.clear()
    async with running(environment):
        await eventually(lambda: len(environment.load_client.polled) == 2)
        await asyncio.sleep(3 * SETTLE_SECONDS)
        assert environment.route_writer.calls == 0
        assert not environment.scheduler.has_polled(GAME)
        environment.load_client.unblocked.set()
        await eventually(lambda: environment.route_writer.written)
        assert environment.scheduler.has_polled(GAME)
    assert [(each.load_state, each.routing_state) for each in environment.last_status.pods] == [
        (3, "Ready"),
        (1, "DenyNewCall"),
    ]
    assert environment.last_status.best_pod_index == 0
    assert not environment.scheduler.has_polled(GAME)


async def test_slow_pods_delay_the_first_status_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "_FIRST_POLL_SECONDS", SETTLE_SECONDS)
    environment = TimerEnvironment().with_http(0)
    environment.load_client.unblocked.clear()
    async with running(environment):
        await eventually(lambda: environment.route_writer.written)
        assert environment.last_status.pods[0].load_state is None


async def test_current_status_is_not_written_again() -> None:
    environment = TimerEnvironment().with_http(0)
    environment.load_client.responses["10.0.0.0"] = LoadResponse(3, 7)
    async with running(environment):
        await eventually(lambda: environment.route_writer.written)
        await idle()
        written = len(environment.route_writer.written)
        environment.links.put(link(30, "alice", pod=0))
        await settled(environment)
        assert environment.route_writer.written[written:][0]["links"] == 1
        written = len(environment.route_writer.written)
        environment.links.put(link(31, "bob", pod=0))
        environment.links.delete(GAME, "game.alice", 40)
        await settled(environment)
        assert environment.route_writer.written[written:] == [], "one link was created and one was deleted"


async def test_changes_at_the_same_time_go_into_one_status() -> None:
    environment = TimerEnvironment().with_http(0)
    async with running(environment):
        await eventually(lambda: environment.route_writer.written)
        await idle()
        written, time = len(environment.route_writer.written), asyncio.get_running_loop().time
        started = time()
        for number in range(50):
            environment.links.put(link(30, f"user-{number}", pod=0))
            await idle()
        await eventually(lambda: environment.last_status.links == 50)
        assert len(environment.route_writer.written) - written <= 5 + (time() - started) / SETTLE_SECONDS


async def test_pod_that_becomes_ready_later_is_polled_at_once() -> None:
    environment = TimerEnvironment().with_http(0, statePeriodSeconds=86_400)
    environment.load_client.responses = {"10.0.0.0": LoadResponse(3), "10.0.0.1": LoadResponse(1)}
    async with running(environment):
        await eventually(lambda: environment.route_writer.written)
        environment.pods.put(reachable_pod(50, 1, service_state=ServiceState.PENDING, ip=""))
        await eventually(lambda: len(environment.last_status.pods) == 2)
        assert environment.load_client.polled == ["10.0.0.0:80"]
        environment.pods.put(reachable_pod(51, 1))
        await eventually(lambda: environment.last_status.best_pod_index == 1)
        assert environment.load_client.polled == ["10.0.0.0:80", "10.0.0.1:80"]


async def test_report_in_annotations_polls_nothing() -> None:
    environment = TimerEnvironment()
    environment.routes.put(route(10, **HANDLED))
    environment.workloads.put(workload(11))
    environment.pods.put(reachable_pod(12, 0))
    async with running(environment):
        await eventually(lambda: environment.route_writer.written)
        environment.pods.put(reachable_pod(50, 0, load_report=LoadReport(3, 0, environment.now)))
        await eventually(lambda: environment.last_status.pods[0].load_state == 3)
    assert environment.load_client.polled == []


@pytest.mark.parametrize("period", [1, 86_400])
async def test_unexpected_error_in_a_poll_does_not_stop_the_timer(period: int) -> None:
    environment = TimerEnvironment().with_http(0, statePeriodSeconds=period)
    environment.load_client.responses["10.0.0.0"] = RuntimeError("a defect")
    with capture_logs() as logs:
        async with running(environment):
            await eventually(lambda: environment.route_writer.written)
            assert environment.last_status.pods[0].load_state is None
            environment.load_client.responses["10.0.0.0"] = LoadResponse(3)
            if period > 1:
                environment.pods.put(reachable_pod(50, 0, uid="another"))
            await eventually(lambda: environment.last_status.pods[0].load_state == 3)
    # The second poll may come before the mended response: periods start at a random time.
    assert {line["event"] for line in logs if line["log_level"] == "error"} == {"an unexpected error: trying again"}


async def test_failed_write_of_a_status_is_retried() -> None:
    environment = TimerEnvironment().with_http(0)
    environment.route_writer.failures = [UnreachableError("cut"), APIError(500, "", "no")]
    with capture_logs():
        async with running(environment):
            await eventually(lambda: environment.route_writer.written)
    assert environment.route_writer.calls >= 3


async def test_conflict_of_a_status_is_retried_and_is_not_a_failure() -> None:
    environment = TimerEnvironment().with_http(0)
    environment.route_writer.failures = [ConflictError(409, "Conflict", "the object has been modified")]
    with capture_logs() as logs:
        async with running(environment):
            await eventually(lambda: environment.route_writer.written)
    assert environment.route_writer.calls >= 2
    assert not [line for line in logs if line["log_level"] in {"warning", "error"}]


async def test_status_of_a_new_generation_is_left_to_the_handler() -> None:
    environment = TimerEnvironment().with_http(0)
    async with running(environment):
        await eventually(lambda: environment.route_writer.written)
        environment.routes.put(route(500, generation=2, status={"observedGeneration": 1}))
        await asyncio.sleep(3 * SETTLE_SECONDS)
        assert environment.route.resource_version == 500
        environment.routes.put(route(501, generation=2, status={"observedGeneration": 2}))
        await eventually(lambda: environment.route.resource_version > 501)


async def test_status_of_a_new_generation_is_written_if_the_handler_never_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timers, "_HANDLER_SECONDS", 5 * SETTLE_SECONDS)
    environment = TimerEnvironment().with_http(0)
    async with running(environment):
        await eventually(lambda: environment.route_writer.written)
        environment.routes.put(route(500, generation=2, status={"observedGeneration": 1}))
        await eventually(lambda: environment.route.resource_version > 500)
        assert environment.last_status.observed_generation == 2


async def test_route_that_is_deleted_is_neither_polled_nor_written() -> None:
    environment = TimerEnvironment().with_http(0)
    environment.routes.put(
        route(20, is_deleting=True, spec={"load": {"source": "HTTP", "http": {"port": 80}}}, **HANDLED)
    )
    async with running(environment):
        await asyncio.sleep(3 * SETTLE_SECONDS)
    assert (environment.load_client.polled, environment.route_writer.calls) == ([], 0)


async def test_workload_that_does_not_exist_yet_is_found_before_the_period_is_over() -> None:
    environment = TimerEnvironment()
    spec = {"workloadRef": {"kind": "Deployment"}, "statePeriodSeconds": 86_400}
    environment.routes.put(route(10, spec=spec, **HANDLED))
    environment.pods.put(deployment_pod(12))
    async with running(environment):
        await eventually(lambda: environment.route_writer.written)
        assert environment.last_status.conditions[0].reason == "WorkloadNotFound"
        environment.scales.put(20)
        await eventually(lambda: environment.last_status.best_pod_name == "game-a")


async def test_workload_that_is_not_watched_is_read_again_when_a_pod_appears() -> None:
    environment = TimerEnvironment()
    spec = {"workloadRef": {"kind": "Deployment"}, "statePeriodSeconds": 86_400}
    environment.routes.put(route(10, spec=spec, **HANDLED))
    environment.scales.put(11)
    async with running(environment):
        await eventually(lambda: environment.last_status.replicas == 3)
        environment.scales.put(12, replicas=4)
        environment.pods.put(deployment_pod(20))
        await eventually(lambda: environment.last_status.replicas == 4)


async def test_route_that_is_created_again_is_polled_again_at_once() -> None:
    environment = TimerEnvironment().with_http(0, statePeriodSeconds=86_400)
    environment.load_client.responses["10.0.0.0"] = LoadResponse(3)
    async with running(environment):
        await eventually(lambda: environment.scheduler.has_polled(GAME))
        environment.routes.put(replace(environment.route, uid="another", resource_version=5_000))
        assert not environment.scheduler.has_polled(GAME)
        await eventually(lambda: len(environment.load_client.polled) == 2)
        await eventually(lambda: environment.scheduler.has_polled(GAME))


async def test_stopped_timers_leave_nothing_and_start_again() -> None:
    environment = TimerEnvironment().with_http(0)
    tasks = asyncio.all_tasks()
    for polls in (1, 2):
        async with running(environment):
            await eventually(lambda: environment.scheduler.has_polled(GAME))
            await eventually(lambda: asyncio.all_tasks() == tasks)
        assert not environment.scheduler.has_polled(GAME)
        assert len(environment.load_client.polled) == polls


async def test_edited_period_takes_effect_at_once() -> None:
    environment = TimerEnvironment().with_http(0, statePeriodSeconds=86_400)
    async with running(environment):
        await eventually(lambda: environment.route_writer.written)
        environment.edit(500, 2, statePeriodSeconds=1)
        await eventually(lambda: len(environment.load_client.polled) >= 2)


async def test_pods_that_hang_delay_no_other_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "_POLLS", 4)
    environment = TimerEnvironment().with_http(0)
    for number in range(5):
        key = RouteKey("games", f"game-{number}")
        environment.routes.put(route(20 + number, key, spec={"load": {"source": "HTTP", "http": {"port": 80}}}))
        environment.workloads.put(workload(30 + number, key.name))
        owner = Owner("StatefulSet", key.name, f"uid-of-{key.name}")
        environment.pods.put(reachable_pod(40 + number, 0, name=f"{key.name}-0", owner=owner))
    environment.routes.put(route(50, RouteKey("chats", "chat"), **HANDLED))
    environment.load_client.unblocked.clear()
    async with running(environment):
        await eventually(lambda: environment.scheduler.has_polled(RouteKey("chats", "chat")))
        await eventually(lambda: environment.load_client.polled[1:])
        await idle()
        assert len(environment.load_client.polled) == 2
        environment.load_client.unblocked.set()
        await eventually(lambda: len(environment.load_client.polled) == 6)


async def test_all_routes_are_served_before_their_statuses_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "_SERVED_A_SECOND", 60)  # 2 seconds for all, also on a busy machine
    environment = TimerEnvironment()
    keys = [RouteKey("games", f"game-{number}") for number in range(120)]
    for key in keys:
        environment.routes.put(route(10, key, **HANDLED))
    writer, were_served = environment.route_writer, list[bool]()
    update_status = writer.update_status

    async def record(written: Route, status: StatefulRouteStatus) -> None:
        were_served.append(all(map(environment.scheduler.has_polled, keys)))
        await update_status(written, status)

    monkeypatch.setattr(writer, "update_status", record)
    async with running(environment):
        assert await environment.scheduler.wait_started()
        await eventually(lambda: len(were_served) >= len(keys))
    assert all(were_served)


async def test_work_that_is_stopped_at_its_start_has_not_started() -> None:
    environment = TimerEnvironment().with_http(0)
    async with running(environment):
        starting = asyncio.create_task(environment.scheduler.wait_started())
    assert not await starting


async def test_error_of_one_route_at_the_start_stops_no_other_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "_RETRY_SECONDS", SETTLE_SECONDS, raising=False)
    environment, other = TimerEnvironment().with_http(0), RouteKey("games", "other")
    environment.links.put(link(30, "alice", pod=0))
    environment.routes.put(route(50, other, **HANDLED))
    get, is_broken = environment.route_store.get, True

    def fail(key: RouteKey) -> RouteView | None:
        if is_broken and key == GAME:
            raise RuntimeError("a defect")
        return get(key)

    monkeypatch.setattr(environment.route_store, "get", fail)
    with capture_logs() as logs:
        async with running(environment):
            await eventually(lambda: environment.scheduler.has_polled(other))
            is_broken = False
            await eventually(lambda: environment.scheduler.has_polled(GAME))
            await eventually(lambda: environment.reason_of("alice") == "Bound")
    assert {line["event"] for line in logs if line["log_level"] == "error"} >= {"an unexpected error: trying again"}


async def test_end_of_a_former_route_of_the_same_name_does_not_end_the_work_on_the_present_one() -> None:
    environment = TimerEnvironment().with_http(0)
    environment.routes.put(replace(environment.route, uid="present", resource_version=60))
    metadata = {"namespace": "games", "name": "game", "uid": "former", "resourceVersion": "40", "generation": 1}
    async with running(environment):
        await eventually(lambda: environment.scheduler.has_polled(GAME))
        await environment.handlers.release(kopf.Body({"metadata": metadata}))
        assert environment.scheduler.has_polled(GAME)


def deletion_of(environment: TimerEnvironment) -> kopf.Body:
    """Returns the route as kopf delivers it when it is deleted."""
    current = environment.route
    metadata = {"namespace": current.namespace, "name": current.name, "uid": current.uid, "generation": 1}
    return kopf.Body({"metadata": metadata | {"resourceVersion": str(current.resource_version)}})


async def test_annotation_of_a_pod_that_is_being_written_is_removed_when_its_route_is_deleted() -> None:
    environment = TimerEnvironment().with_http(0)
    environment.load_client.responses["10.0.0.0"] = LoadResponse(3)
    writer, annotate = environment.pod_writer, environment.pod_writer.annotate

    async def arrive(pod: Pod, annotations: Mapping[str, str | None]) -> None:
        await asyncio.shield(annotate(pod, annotations))  # the API server applies it although the sender was cancelled

    writer.annotate = arrive  # type: ignore[method-assign]
    writer.unblocked.clear()
    async with running(environment):
        await eventually(lambda: writer.in_flight)
        releasing = asyncio.create_task(environment.handlers.release(deletion_of(environment)))
        await idle()
        writer.unblocked.set()
        await releasing
        await idle()
    (deleted,) = environment.pods.in_partition("games").values()
    assert deleted.annotations == PodAnnotations()


async def test_annotation_of_a_workload_that_is_being_written_is_removed_when_its_route_is_deleted() -> None:
    environment = TimerEnvironment()
    environment.routes.put(route(10, spec={"workloadRef": {"kind": "Deployment"}}, **HANDLED))
    environment.scales.put(11)
    environment.pods.put(deployment_pod(12, load_report=LoadReport(4, 4, environment.now)))
    patch, arrives, is_sent = environment.scales.merge_patch, asyncio.Event(), asyncio.Event()

    async def apply(path: str, body: bytes) -> bytes:
        is_sent.set()
        await arrives.wait()
        return await patch(path, body)

    async def arrive(path: str, body: bytes) -> bytes:
        return await asyncio.shield(apply(path, body))

    environment.scales.merge_patch = arrive  # type: ignore[method-assign]
    async with running(environment):
        await is_sent.wait()
        releasing = asyncio.create_task(environment.handlers.release(deletion_of(environment)))
        await idle()
        arrives.set()
        await releasing
        await idle()
    assert environment.scales.annotations == {"game": {}}


async def test_deletion_of_a_route_with_many_pods_waits_until_all_annotations_are_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handlers, "_RELEASE_SECONDS", 0.02)
    monkeypatch.setattr(handlers, "_RELEASED_PODS_A_SECOND", 3, raising=False)
    environment = TimerEnvironment().with_http(*range(30))
    environment.load_client.responses = {f"10.0.0.{index}": LoadResponse(3) for index in range(30)}
    annotate = environment.pod_writer.annotate

    async def annotate_slowly(pod: Pod, annotations: Mapping[str, str | None]) -> None:
        await asyncio.sleep(0.005)
        await annotate(pod, annotations)

    async with running(environment):
        await eventually(lambda: len(environment.pod_writer.written) == 30)
        environment.pod_writer.annotate = annotate_slowly  # type: ignore[method-assign]
        await environment.handlers.release(deletion_of(environment))
    annotated = [each for each in environment.pods.in_partition("games").values() if each.annotations.weighted_load]
    assert annotated == []


async def test_route_that_is_deleted_cancels_its_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_END_SECONDS", 3600.0)  # a poll is not given the time that a write has
    environment = TimerEnvironment().with_http(0)
    environment.load_client.unblocked.clear()
    async with running(environment):
        await eventually(lambda: environment.load_client.polled)
        async with asyncio.timeout(5):
            await environment.scheduler.end_route(GAME)
        environment.load_client.unblocked.set()
        await asyncio.sleep(3 * SETTLE_SECONDS)
        assert (environment.pod_writer.written, environment.route_writer.calls) == ([], 0)
