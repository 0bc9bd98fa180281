"""Which links are reconciled, when, and by which queue."""

import asyncio

import pytest
from structlog.testing import capture_logs

from statefulroute.api.vocabulary import LinkPhase, LinkReason, RoutingState, ServiceState
from statefulroute.cluster.errors import ConflictError, UnreachableError
from statefulroute.controllers.links import controller
from statefulroute.controllers.links.reconciler import ReconcileResult
from statefulroute.domain.decision import Bind, UpdateStatus
from statefulroute.domain.keys import LinkKey
from statefulroute.domain.link import LinkStatus
from unit.controllers.environment import (
    GAME,
    Environment,
    deployment_pod,
    eventually,
    idle,
    link,
    pod,
    removed_route,
    route,
    running_route,
    workload,
)

BOUND_TO_0 = LinkStatus(
    LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-0'", 0, "game-0", "game-0.game.games.svc"
)


async def test_link_without_a_route_gets_its_status_once_the_caches_are_synced() -> None:
    environment = Environment()
    environment.links.put(link(1))
    await idle()
    assert environment.writer.written == []
    environment.controller.start()
    await idle()
    environment.links.put(link(1, "bob"))
    await idle()
    assert environment.writer.written == [("alice", "RouteNotFound"), ("bob", "RouteNotFound")]
    await environment.controller.stop()


async def test_link_whose_status_is_current_is_not_written_again() -> None:
    environment = Environment()
    environment.controller.start()
    environment.links.put(link(1))
    await idle()
    (current,) = environment.links.in_partition(GAME).values()
    assert current.status is not None
    environment.links.put(link(9, status=current.status, observed_generation=1))
    await idle()
    assert environment.reconciled == ["alice", "alice", "alice"], "its own write and the change are reconciled"
    assert len(environment.writer.written) == 1
    await environment.controller.stop()


@pytest.mark.parametrize("pod_index", [0, None])
async def test_link_is_reconciled_once_until_it_is_bound(pod_index: int | None) -> None:
    environment = Environment().with_pods(0)
    async with running_route(environment):
        environment.links.put(link(30, pod=pod_index))
        await idle()
        assert environment.reason_of("alice") == "Bound"
        assert environment.reconciled == ["alice"]


async def test_link_that_changes_while_it_is_bound_is_reconciled_again() -> None:
    environment = Environment().with_pods(0, 1)
    async with running_route(environment):
        environment.writer.unblocked.clear()
        environment.links.put(link(30, pod=0))
        await idle()
        environment.links.put(link(40, pod=1, generation=2))
        environment.writer.unblocked.set()
        await idle()
        (current,) = environment.links.in_partition(GAME).values()
        assert current.status_pod == 1
        assert environment.reconciled == ["alice", "alice"]


async def test_pod_that_gets_ready_while_a_link_is_marked_as_pending_takes_the_link() -> None:
    environment = Environment().with_pods()
    async with running_route(environment):
        environment.writer.unblocked.clear()
        environment.links.put(link(30))
        await idle()
        environment.pods.put(pod(31))
        await idle()
        environment.writer.unblocked.set()
        await idle()
        assert environment.reason_of("alice") == "Bound"


@pytest.mark.parametrize("when", ["before the start", "just before its turn"])
async def test_link_whose_route_appears_before_its_turn_is_not_pending(when: str) -> None:
    environment = Environment()
    if when == "before the start":
        environment.links.put(link(1))
        environment.routes.put(route(2))
        environment.controller.start()
    else:
        environment.controller.start()
        environment.links.put(link(1))
        environment.routes.put(route(2))
    await idle()
    assert environment.writer.written == []
    await environment.controller.stop()


async def test_link_waits_until_the_queue_of_its_route_starts() -> None:
    environment = Environment().with_pods(0)
    environment.controller.start()
    environment.links.put(link(30))
    await idle()
    assert environment.reconciled == []
    async with running_route(environment):
        assert environment.writer.written == [("alice", 0), ("alice", "Bound")]
    await environment.controller.stop()


async def test_route_queue_reconciles_every_link_at_its_start_and_then_each_that_changes() -> None:
    environment = Environment().with_pods(0)
    for user in ("alice", "bob"):
        environment.links.put(link(30, user, pod=0))
    async with running_route(environment):
        assert sorted(environment.writer.written) == [("alice", "Bound"), ("bob", "Bound")]
        environment.links.put(link(30, "carol", pod=0))
        await idle()
        assert environment.writer.written[2:] == [("carol", "Bound")]


async def test_links_are_spread_while_their_bindings_are_in_flight() -> None:
    environment = Environment(concurrency=3).with_pods(0, 1, 2)
    for user in ("alice", "bob", "carol"):
        environment.links.put(link(30, user))
    environment.writer.unblocked.clear()
    async with running_route(environment):
        assert environment.writer.in_flight == 3
        environment.writer.unblocked.set()
        await eventually(lambda: len(environment.writer.written) == 6)
    assert sorted(environment.counts.of(GAME).items()) == [(0, 1), (1, 1), (2, 1)]


async def test_concurrency_limits_the_links_of_a_route_that_are_written_at_the_same_time() -> None:
    environment = Environment(concurrency=2).with_pods(0)
    for number in range(5):
        environment.links.put(link(30, f"user-{number}", pod=0))
    environment.writer.unblocked.clear()
    async with running_route(environment):
        assert environment.writer.in_flight == 2
        environment.writer.unblocked.set()
        await eventually(lambda: len(environment.writer.written) == 5)


async def test_change_of_a_pod_reconciles_the_links_that_wait() -> None:
    environment = Environment().with_pods(0)
    environment.links.put(link(30, "alice", pod=0))
    environment.links.put(link(30, "bob", pod=1))
    async with running_route(environment):
        assert (environment.reason_of("alice"), environment.reason_of("bob")) == ("Bound", "PodNotFound")
        environment.reconciled.clear()
        environment.pods.put(pod(50, 1, service_state=ServiceState.NOT_READY))
        await idle()
        assert "alice" not in environment.reconciled
        assert environment.reason_of("bob") == "PodNotRoutable"
        environment.pods.put(pod(51, 1))
        await idle()
        assert environment.reason_of("bob") == "Bound"
        environment.reconciled.clear()
        environment.pods.put(pod(52, 1, reported_routing_state=RoutingState.DENY_NEW_CALL))
        await idle()
        assert environment.reconciled == []


async def test_changes_of_many_pods_that_arrive_together_are_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    environment, builds = Environment().with_pods(*range(100)), []
    build = environment.route_store._build_view  # noqa: SLF001 - no event tells how often views are built
    monkeypatch.setattr(environment.route_store, "_build_view", lambda entry: builds.append(entry) or build(entry))
    environment.links.put(link(200, pod=0))
    async with running_route(environment):
        await idle()
        builds.clear()
        for index in range(100):
            environment.pods.put(pod(1000 + index, index, service_state=ServiceState.PENDING))
        await idle()
        assert len(builds) == 1


async def test_edit_of_the_route_reconciles_each_link() -> None:
    environment = Environment().with_pods(0)
    for user in ("alice", "bob"):
        environment.links.put(link(30, user, pod=0))
    async with running_route(environment):
        environment.reconciled.clear()
        environment.routes.put(route(50, generation=2, spec={"onPodLost": {"graceSeconds": 60}}))
        await idle()
        assert sorted(environment.reconciled) == ["alice", "bob"]


async def test_change_of_the_status_or_of_the_replicas_of_the_route_reconciles_no_link() -> None:
    environment = Environment().with_pods(0)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        environment.reconciled.clear()
        environment.routes.put(route(51, status={"links": 2}))
        environment.routes.put(route(52, generation=2, spec={"replicas": 3}))
        environment.routes.put(route(53, generation=3, spec={"replicas": 4}))
        await idle()
        assert environment.reconciled == []


async def test_edit_of_the_workload_reconciles_each_link() -> None:
    environment = Environment().with_pods(0)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        environment.workloads.put(workload(50, service_name="other"))
        await idle()
        (current,) = environment.links.in_partition(GAME).values()
        assert current.status is not None
        assert current.status.host == "game-0.other.games.svc"


async def test_links_get_the_new_host_of_a_pod_that_comes_back() -> None:
    environment = Environment().with_pods(0)
    environment.links.put(link(30, pod=0))
    async with running_route(environment):
        environment.pods.delete("games", "game-0", 40)
        environment.workloads.put(workload(50, service_name="other"))
        await idle()
        environment.pods.put(pod(60, 0))
        await idle()
        (current,) = environment.links.in_partition(GAME).values()
        assert current.status is not None
        assert current.status.host == "game-0.other.games.svc"


async def test_links_that_wait_for_the_workload_are_bound_when_it_appears() -> None:
    environment = Environment()
    environment.routes.put(route(10))
    environment.links.put(link(30))
    async with running_route(environment):
        assert environment.reason_of("alice") == "WorkloadNotFound"
        environment.workloads.put(workload(40))
        await idle()
        assert environment.reason_of("alice") == "NoAvailablePod"
        environment.pods.put(pod(41, 0))
        await idle()
        assert environment.reason_of("alice") == "Bound"


async def test_links_are_left_alone_until_the_workload_was_read() -> None:
    environment = Environment()
    environment.routes.put(route(10, spec={"workloadRef": {"kind": "Deployment"}}))
    environment.pods.put(deployment_pod(20))
    environment.scales.put(11)
    environment.links.put(link(30))
    async with running_route(environment):
        assert (environment.reconciled, environment.writer.written) == (["alice"], [])
        await environment.refresh_workload()
        await idle()
        assert environment.writer.written == [("alice", "game-a"), ("alice", "Bound")]


async def test_links_that_are_deleted_are_left_alone() -> None:
    environment = Environment().with_pods(0)
    environment.links.put(link(30, is_deleting=True))
    async with running_route(environment):
        pass
    assert environment.writer.written == []


async def test_links_of_deleted_route_are_pending_after_its_queue_stopped() -> None:
    environment = Environment().with_pods(0)
    environment.controller.start()
    environment.links.put(link(30, "alice", pod=0))
    async with running_route(environment):
        environment.routes.delete("games", "game", 50)
        await idle()
    await eventually(lambda: environment.reason_of("alice") == "RouteNotFound")
    assert environment.writer.written == [("alice", "Bound"), ("alice", "RouteNotFound")]
    await environment.controller.stop()


async def test_links_of_deleted_route_without_a_queue_are_pending() -> None:
    environment = Environment().with_pods(0)
    environment.controller.start()
    environment.links.put(link(30, "alice", pod=0))
    environment.routes.delete("games", "game", 50)
    await idle()
    assert environment.writer.written == [("alice", "RouteNotFound")]
    await environment.controller.stop()


async def test_links_are_bound_again_when_their_route_is_created_again() -> None:
    environment = Environment().with_pods(0)
    environment.controller.start()
    environment.links.put(link(30, "alice", pod=0))
    environment.routes.delete("games", "game", 50)
    await idle()
    environment.routes.put(route(60))
    async with running_route(environment):
        assert environment.reason_of("alice") == "Bound"
    await environment.controller.stop()


async def test_links_stay_bound_when_the_queue_stops_and_the_route_remains() -> None:
    environment = Environment().with_pods(0)
    environment.controller.start()
    environment.links.put(link(30, "alice", pod=0))
    async with running_route(environment):
        pass
    await idle()
    environment.links.put(link(60, "bob", pod=0))
    await idle()
    assert environment.writer.written == [("alice", "Bound")]
    await environment.controller.stop()


async def test_stopping_route_queue_finishes_links_in_progress_and_takes_no_others() -> None:
    environment = Environment(concurrency=1).with_pods(0)
    environment.links.put(link(30, "alice", pod=0))
    environment.links.put(link(30, "bob", pod=0))
    environment.writer.unblocked.clear()
    environment.controller.add_route(GAME)
    await idle()
    removing = asyncio.create_task(removed_route(environment))
    await idle()
    assert not removing.done()
    environment.links.put(link(30, "carol", pod=0))
    environment.writer.unblocked.set()
    await removing
    await idle()
    assert environment.writer.written == [("alice", "Bound")]


async def test_route_has_a_queue_only_while_it_has_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "_RETENTION_SECONDS", 0.01)
    environment = Environment().with_pods(0)

    def watched() -> list[object]:
        return list(environment.route_store._watchers._watchers)  # noqa: SLF001 - a queue watches its route

    async with running_route(environment):
        assert watched() == []
        environment.links.put(link(30, "alice", pod=0))
        await eventually(lambda: environment.reason_of("alice") == "Bound")
        assert watched() == [GAME]
        environment.links.delete(GAME, "game.alice", 60)
        await eventually(lambda: watched() == [])
        environment.links.put(link(70, "bob", pod=0))
        await eventually(lambda: environment.reason_of("bob") == "Bound")
        assert watched() == [GAME]
    assert watched() == []


async def test_route_queue_that_stops_after_its_successor_started_takes_nothing_from_it() -> None:
    environment = Environment().with_pods(0)
    environment.controller.start()
    environment.links.put(link(30, "alice", pod=0))
    environment.writer.unblocked.clear()
    environment.controller.add_route(GAME)
    await idle()
    environment.controller.remove_route(GAME)
    async with running_route(environment):
        environment.writer.unblocked.set()
        environment.links.put(link(60, "bob", pod=0))
        await eventually(lambda: environment.reason_of("bob") == "Bound")
        await idle()
    assert {what for _, what in environment.writer.written} == {"Bound"}
    await environment.controller.stop()


async def test_stopping_finishes_the_links_of_all_routes_in_progress() -> None:
    environment = Environment().with_pods(0)
    environment.controller.start()
    environment.links.put(link(30, "alice", pod=0))
    environment.writer.unblocked.clear()
    environment.controller.add_route(GAME)
    await idle()
    stopping = asyncio.create_task(environment.controller.stop())
    await idle()
    assert not stopping.done()
    environment.writer.unblocked.set()
    await stopping
    assert environment.writer.written == [("alice", "Bound")]


@pytest.mark.parametrize("failure", [ConflictError(409, "Conflict", "modified"), UnreachableError("cut")])
async def test_link_is_reconciled_again_after_a_failed_write(failure: ConflictError | UnreachableError) -> None:
    environment = Environment().with_pods(0)
    environment.links.put(link(30))
    environment.writer.failures.append(failure)
    with capture_logs():
        async with running_route(environment):
            await eventually(lambda: environment.reason_of("alice") == "Bound")
    assert environment.writer.written == [("alice", 0), ("alice", "Bound")]
    assert environment.counts.of(GAME) == {0: 1}


async def test_stopping_waits_for_the_orphans_in_progress() -> None:
    environment = Environment()
    environment.controller.start()
    environment.links.put(link(1))
    environment.writer.unblocked.clear()
    await idle()
    stopping = asyncio.create_task(environment.controller.stop())
    await idle()
    assert not stopping.done()
    environment.writer.unblocked.set()
    await stopping
    assert environment.writer.written == [("alice", "RouteNotFound")]


@pytest.mark.parametrize("end", ["absent", "deleting"])
async def test_link_that_is_absent_or_deleted_needs_no_write(end: str) -> None:
    environment = Environment().with_pods(0)
    if end == "is_deleting":
        environment.links.put(link(30, is_deleting=True))
    assert await environment.reconciler.reconcile(LinkKey(GAME, "game.alice")) == ReconcileResult()
    assert environment.writer.written == []


async def test_link_with_a_current_status_costs_no_write_and_keeps_its_status() -> None:
    environment = Environment().with_pods(0)
    environment.links.put(link(30, pod=0, status=BOUND_TO_0, observed_generation=1))
    assert await environment.reconciler.reconcile(LinkKey(GAME, "game.alice")) == ReconcileResult(
        BOUND_TO_0, plan=UpdateStatus
    )
    assert environment.writer.written == []


async def test_link_that_is_deleted_between_its_two_writes_gets_only_one() -> None:
    environment = Environment().with_pods(0)
    environment.links.put(link(30))
    environment.links.listen(
        lambda _, new: environment.links.delete(GAME, "game.alice", 99) if new and new.pod == 0 else None
    )
    assert await environment.reconciler.reconcile(LinkKey(GAME, "game.alice")) == ReconcileResult(plan=Bind)
    assert environment.writer.written == [("alice", 0)]
