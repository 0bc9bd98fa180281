"""Which links are worked on, when, and by whom."""

import asyncio

import pytest
from structlog.testing import capture_logs

from statefulroute.api.vocabulary import LinkPhase, LinkReason, RoutingState, ServiceState
from statefulroute.cluster.errors import ConflictError, UnreachableError
from statefulroute.controllers import state_store
from statefulroute.controllers.links.reconciler import ReconcileResult
from statefulroute.domain.decision import Bind, UpdateStatus
from statefulroute.domain.keys import LinkKey
from statefulroute.domain.link import LinkStatus
from statefulroute.domain.route import build_route_view
from unit.controllers.environment import (
    GAME,
    Environment,
    deployment_pod,
    eventually,
    idle,
    link,
    pod,
    route,
    running_route,
    workload,
)

BOUND_TO_0 = LinkStatus(
    LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-0'", 0, "game-0", "game-0.game.games.svc"
)


async def test_a_link_without_a_route_is_told_so_once_the_caches_are_synced() -> None:
    world = Environment()
    world.links.put(link(1))
    await idle()
    assert world.writer.written == []
    world.controller.start()
    await idle()
    world.links.put(link(1, "bob"))
    await idle()
    assert world.writer.written == [("alice", "RouteNotFound"), ("bob", "RouteNotFound")]
    await world.controller.stop()


async def test_a_link_that_knows_it_already_is_not_written_again() -> None:
    world = Environment()
    world.controller.start()
    world.links.put(link(1))
    await idle()
    (known,) = world.links.in_partition(GAME).values()
    assert known.status is not None
    world.links.put(link(9, status=known.status, observed_generation=1))
    await idle()
    assert world.reconciled == ["alice", "alice", "alice"], "its own write and the change are looked at"
    assert len(world.writer.written) == 1
    await world.controller.stop()


@pytest.mark.parametrize("when", ["before the start", "in the moment before its turn"])
async def test_a_route_that_comes_before_the_links_turn_is_not_denied(when: str) -> None:
    world = Environment()
    if when == "before the start":
        world.links.put(link(1))
        world.routes.put(route(2))
        world.controller.start()
    else:
        world.controller.start()
        world.links.put(link(1))
        world.routes.put(route(2))
    await idle()
    assert world.writer.written == []
    await world.controller.stop()


async def test_a_link_whose_routes_worker_has_not_begun_waits_for_it() -> None:
    world = Environment().with_pods(0)
    world.controller.start()
    world.links.put(link(30))
    await idle()
    assert world.reconciled == []
    async with running_route(world):
        assert world.writer.written == [("alice", 0), ("alice", "Bound")]
    await world.controller.stop()


async def test_a_worker_judges_every_link_at_its_start_and_then_each_that_changes() -> None:
    world = Environment().with_pods(0)
    for user in ("alice", "bob"):
        world.links.put(link(30, user, pod=0))
    async with running_route(world):
        assert sorted(world.writer.written) == [("alice", "Bound"), ("bob", "Bound")]
        world.links.put(link(30, "carol", pod=0))
        await idle()
        assert world.writer.written[2:] == [("carol", "Bound")]


async def test_links_are_spread_although_their_bindings_are_under_way_at_the_same_time() -> None:
    world = Environment(parallel=3).with_pods(0, 1, 2)
    for user in ("alice", "bob", "carol"):
        world.links.put(link(30, user))
    world.writer.unblocked.clear()
    async with running_route(world):
        assert world.writer.in_flight == 3
        world.writer.unblocked.set()
        await eventually(lambda: len(world.writer.written) == 6)
    assert sorted(world.counts.of(GAME).items()) == [(0, 1), (1, 1), (2, 1)]


async def test_no_more_links_of_a_route_are_written_at_once_than_was_asked_for() -> None:
    world = Environment(parallel=2).with_pods(0)
    for number in range(5):
        world.links.put(link(30, f"user-{number}", pod=0))
    world.writer.unblocked.clear()
    async with running_route(world):
        assert world.writer.in_flight == 2
        world.writer.unblocked.set()
        await eventually(lambda: len(world.writer.written) == 5)


async def test_a_pods_change_concerns_the_links_that_wait() -> None:
    world = Environment().with_pods(0)
    world.links.put(link(30, "alice", pod=0))
    world.links.put(link(30, "bob", pod=1))
    async with running_route(world):
        assert (world.reason_of("alice"), world.reason_of("bob")) == ("Bound", "PodNotFound")
        world.reconciled.clear()
        world.pods.put(pod(50, 1, service_state=ServiceState.NOT_READY))
        await idle()
        assert "alice" not in world.reconciled
        assert world.reason_of("bob") == "PodNotRoutable"
        world.pods.put(pod(51, 1))
        await idle()
        assert world.reason_of("bob") == "Bound"
        world.reconciled.clear()
        world.pods.put(pod(52, 1, reported_routing_state=RoutingState.DENY_NEW_CALL))
        await idle()
        assert world.reconciled == []


async def test_changes_of_many_pods_that_come_in_one_piece_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world, looks = Environment().with_pods(*range(100)), []
    monkeypatch.setattr(state_store, "build_route_view", lambda *parts: looks.append(parts) or build_route_view(*parts))
    async with running_route(world):
        await idle()
        looks.clear()
        for index in range(100):
            world.pods.put(pod(1000 + index, index, service_state=ServiceState.PENDING))
        await idle()
        assert len(looks) == 1


async def test_an_edit_of_the_route_concerns_each_link() -> None:
    world = Environment().with_pods(0)
    for user in ("alice", "bob"):
        world.links.put(link(30, user, pod=0))
    async with running_route(world):
        world.reconciled.clear()
        world.routes.put(route(50, generation=2))
        await idle()
        assert sorted(world.reconciled) == ["alice", "bob"]
        world.reconciled.clear()
        world.routes.put(route(51, generation=2, status={"links": 2}))
        await idle()
        assert world.reconciled == []


async def test_an_edit_of_the_workload_concerns_each_link() -> None:
    world = Environment().with_pods(0)
    world.links.put(link(30, pod=0))
    async with running_route(world):
        world.workloads.put(workload(50, service_name="other"))
        await idle()
        (found,) = world.links.in_partition(GAME).values()
        assert found.status is not None
        assert found.status.host == "game-0.other.games.svc"


async def test_a_pod_that_comes_back_under_another_host_is_told_to_its_links() -> None:
    world = Environment().with_pods(0)
    world.links.put(link(30, pod=0))
    async with running_route(world):
        world.pods.delete("games", "game-0", 40)
        world.workloads.put(workload(50, service_name="other"))
        await idle()
        world.pods.put(pod(60, 0))
        await idle()
        (found,) = world.links.in_partition(GAME).values()
        assert found.status is not None
        assert found.status.host == "game-0.other.games.svc"


async def test_links_that_wait_for_the_workload_are_bound_when_it_comes() -> None:
    world = Environment()
    world.routes.put(route(10))
    world.links.put(link(30))
    async with running_route(world):
        assert world.reason_of("alice") == "WorkloadNotFound"
        world.workloads.put(workload(40))
        await idle()
        assert world.reason_of("alice") == "NoAvailablePod"
        world.pods.put(pod(41, 0))
        await idle()
        assert world.reason_of("alice") == "Bound"


async def test_links_of_a_workload_that_was_not_read_yet_are_left_alone_until_it_is() -> None:
    world = Environment()
    world.routes.put(route(10, spec={"workloadRef": {"kind": "Deployment"}}))
    world.pods.put(deployment_pod(20))
    world.scales.put(11)
    world.links.put(link(30))
    async with running_route(world):
        assert (world.reconciled, world.writer.written) == (["alice"], [])
        await world.refresh_workload()
        await idle()
        assert world.writer.written == [("alice", "game-a"), ("alice", "Bound")]


async def test_links_that_are_being_deleted_are_left_alone() -> None:
    world = Environment().with_pods(0)
    world.links.put(link(30, is_deleting=True))
    async with running_route(world):
        pass
    assert world.writer.written == []


async def test_the_links_of_a_deleted_route_are_told_so_when_its_worker_has_ended() -> None:
    world = Environment().with_pods(0)
    world.controller.start()
    world.links.put(link(30, "alice", pod=0))
    async with running_route(world) as end:
        world.routes.delete("games", "game", 50)
        await idle()
        end.set()
        await eventually(lambda: world.reason_of("alice") == "RouteNotFound")
    await idle()
    assert world.writer.written == [("alice", "Bound"), ("alice", "RouteNotFound")]
    await world.controller.stop()


async def test_the_links_of_a_deleted_route_that_had_no_worker_are_told_so() -> None:
    world = Environment().with_pods(0)
    world.controller.start()
    world.links.put(link(30, "alice", pod=0))
    world.routes.delete("games", "game", 50)
    await idle()
    assert world.writer.written == [("alice", "RouteNotFound")]
    await world.controller.stop()


async def test_links_are_bound_again_when_their_route_comes_again() -> None:
    world = Environment().with_pods(0)
    world.controller.start()
    world.links.put(link(30, "alice", pod=0))
    world.routes.delete("games", "game", 50)
    await idle()
    world.routes.put(route(60))
    async with running_route(world):
        assert world.reason_of("alice") == "Bound"
    await world.controller.stop()


async def test_nothing_is_denied_when_a_worker_ends_and_its_route_remains() -> None:
    world = Environment().with_pods(0)
    world.controller.start()
    world.links.put(link(30, "alice", pod=0))
    async with running_route(world):
        pass
    await idle()
    world.links.put(link(60, "bob", pod=0))
    await idle()
    assert world.writer.written == [("alice", "Bound")]
    await world.controller.stop()


async def test_a_worker_that_ends_finishes_what_is_under_way_and_takes_no_further_link() -> None:
    world = Environment(parallel=1).with_pods(0)
    world.links.put(link(30, "alice", pod=0))
    world.links.put(link(30, "bob", pod=0))
    world.writer.unblocked.clear()
    end = asyncio.Event()
    task = asyncio.create_task(world.controller.run_route(GAME, end.wait))
    await idle()
    end.set()
    await idle()
    assert not task.done()
    world.links.put(link(30, "carol", pod=0))
    world.writer.unblocked.set()
    await task
    await idle()
    assert world.writer.written == [("alice", "Bound")]


async def test_a_worker_that_has_ended_watches_nothing() -> None:
    world = Environment().with_pods(0)
    async with running_route(world):
        assert list(world.route_store._watchers) == [GAME]  # noqa: SLF001 - a route that came and went must leave nothing
    assert list(world.route_store._watchers) == []  # noqa: SLF001 - as above


async def test_a_worker_that_ends_after_the_next_has_begun_takes_nothing_from_it() -> None:
    world = Environment().with_pods(0)
    world.controller.start()
    async with running_route(world) as end, running_route(world):
        end.set()
        await idle()
        world.links.put(link(60, "bob", pod=0))
        await idle()
        assert world.writer.written == [("bob", "Bound")]
    await world.controller.stop()


async def test_a_worker_that_is_cancelled_finishes_what_is_under_way() -> None:
    world = Environment().with_pods(0)
    world.links.put(link(30, "alice", pod=0))
    world.writer.unblocked.clear()
    task = asyncio.create_task(world.controller.run_route(GAME, asyncio.Event().wait))
    await idle()
    task.cancel()
    await idle()
    assert not task.done()
    world.writer.unblocked.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.writer.written == [("alice", "Bound")]


@pytest.mark.parametrize("failure", [ConflictError(409, "Conflict", "modified"), UnreachableError("cut")])
async def test_a_write_that_fails_is_judged_anew(failure: ConflictError | UnreachableError) -> None:
    world = Environment().with_pods(0)
    world.links.put(link(30))
    world.writer.failures.append(failure)
    with capture_logs():
        async with running_route(world):
            await eventually(lambda: world.reason_of("alice") == "Bound")
    assert world.writer.written == [("alice", 0), ("alice", "Bound")]
    assert world.counts.of(GAME) == {0: 1}


async def test_stopping_waits_for_the_denials_under_way() -> None:
    world = Environment()
    world.controller.start()
    world.links.put(link(1))
    world.writer.unblocked.clear()
    await idle()
    stopping = asyncio.create_task(world.controller.stop())
    await idle()
    assert not stopping.done()
    world.writer.unblocked.set()
    await stopping
    assert world.writer.written == [("alice", "RouteNotFound")]


@pytest.mark.parametrize("end", ["absent", "deleting"])
async def test_there_is_nothing_to_do_about_a_link_that_is_gone_or_going(end: str) -> None:
    world = Environment().with_pods(0)
    if end == "is_deleting":
        world.links.put(link(30, is_deleting=True))
    assert await world.reconciler.reconcile(LinkKey(GAME, "game.alice")) == ReconcileResult()
    assert world.writer.written == []


async def test_a_settled_link_costs_no_write_and_says_what_it_says() -> None:
    world = Environment().with_pods(0)
    world.links.put(link(30, pod=0, status=BOUND_TO_0, observed_generation=1))
    assert await world.reconciler.reconcile(LinkKey(GAME, "game.alice")) == ReconcileResult(
        BOUND_TO_0, plan=UpdateStatus
    )
    assert world.writer.written == []


async def test_a_link_that_is_deleted_between_its_two_writes_gets_only_one() -> None:
    world = Environment().with_pods(0)
    world.links.put(link(30))
    world.links.listen(lambda _, new: world.links.delete(GAME, "game.alice", 99) if new and new.pod == 0 else None)
    assert await world.reconciler.reconcile(LinkKey(GAME, "game.alice")) == ReconcileResult(plan=Bind)
    assert world.writer.written == [("alice", 0)]
