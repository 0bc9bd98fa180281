"""Which links are worked on, when, and by whom."""

import asyncio

import pytest
from structlog.testing import capture_logs

from statefulroute.api.vocabulary import LinkPhase, LinkReason, RoutingState, ServiceState
from statefulroute.cluster.errors import ConflictError, UnreachableError
from statefulroute.controllers import views
from statefulroute.controllers.links.reconciler import Outcome
from statefulroute.domain.decision import Acknowledge, Bind
from statefulroute.domain.keys import LinkKey
from statefulroute.domain.link import Acknowledgement
from statefulroute.domain.route import view_route
from unit.controllers.worlds import GAME, World, eventually, idle, link, named, pod, route, served, workload

BOUND_TO_0 = Acknowledgement(
    LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-0'", 0, "game-0", "game-0.game.games.svc"
)


async def test_a_link_without_a_route_is_told_so_once_the_caches_are_synced() -> None:
    world = World()
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
    world = World()
    world.controller.start()
    world.links.put(link(1))
    await idle()
    (known,) = world.links.in_group(GAME).values()
    assert known.acknowledged is not None
    world.links.put(link(9, acknowledged=known.acknowledged, observed_generation=1))
    await idle()
    assert world.judged == ["alice", "alice", "alice"], "its own write and the change are looked at"
    assert len(world.writer.written) == 1
    await world.controller.stop()


@pytest.mark.parametrize("when", ["before the start", "in the moment before its turn"])
async def test_a_route_that_comes_before_the_links_turn_is_not_denied(when: str) -> None:
    world = World()
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
    world = World().with_pods(0)
    world.controller.start()
    world.links.put(link(30))
    await idle()
    assert world.judged == []
    async with served(world):
        assert world.writer.written == [("alice", 0), ("alice", "Bound")]
    await world.controller.stop()


async def test_a_worker_judges_every_link_at_its_start_and_then_each_that_changes() -> None:
    world = World().with_pods(0)
    for user in ("alice", "bob"):
        world.links.put(link(30, user, pod=0))
    async with served(world):
        assert sorted(world.writer.written) == [("alice", "Bound"), ("bob", "Bound")]
        world.links.put(link(30, "carol", pod=0))
        await idle()
        assert world.writer.written[2:] == [("carol", "Bound")]


async def test_links_are_spread_although_their_bindings_are_under_way_at_the_same_time() -> None:
    world = World(parallel=3).with_pods(0, 1, 2)
    for user in ("alice", "bob", "carol"):
        world.links.put(link(30, user))
    world.writer.gate.clear()
    async with served(world):
        assert world.writer.under_way == 3
        world.writer.gate.set()
        await eventually(lambda: len(world.writer.written) == 6)
    assert sorted(world.counts.of(GAME).items()) == [(0, 1), (1, 1), (2, 1)]


async def test_no_more_links_of_a_route_are_written_at_once_than_was_asked_for() -> None:
    world = World(parallel=2).with_pods(0)
    for number in range(5):
        world.links.put(link(30, f"user-{number}", pod=0))
    world.writer.gate.clear()
    async with served(world):
        assert world.writer.under_way == 2
        world.writer.gate.set()
        await eventually(lambda: len(world.writer.written) == 5)


async def test_a_pods_change_concerns_the_links_that_wait() -> None:
    world = World().with_pods(0)
    world.links.put(link(30, "alice", pod=0))
    world.links.put(link(30, "bob", pod=1))
    async with served(world):
        assert (world.said_of("alice"), world.said_of("bob")) == ("Bound", "PodNotFound")
        world.judged.clear()
        world.pods.put(pod(50, 1, service_state=ServiceState.NOT_READY))
        await idle()
        assert "alice" not in world.judged
        assert world.said_of("bob") == "PodNotRoutable"
        world.pods.put(pod(51, 1))
        await idle()
        assert world.said_of("bob") == "Bound"
        world.judged.clear()
        world.pods.put(pod(52, 1, said=RoutingState.DENY_NEW_CALL))
        await idle()
        assert world.judged == []


async def test_changes_of_many_pods_that_come_in_one_piece_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world, looks = World().with_pods(*range(100)), []
    monkeypatch.setattr(views, "view_route", lambda *parts: looks.append(parts) or view_route(*parts))
    async with served(world):
        await idle()
        looks.clear()
        for index in range(100):
            world.pods.put(pod(1000 + index, index, service_state=ServiceState.PENDING))
        await idle()
        assert len(looks) == 1


async def test_an_edit_of_the_route_concerns_each_link() -> None:
    world = World().with_pods(0)
    for user in ("alice", "bob"):
        world.links.put(link(30, user, pod=0))
    async with served(world):
        world.judged.clear()
        world.routes.put(route(50, generation=2))
        await idle()
        assert sorted(world.judged) == ["alice", "bob"]
        world.judged.clear()
        world.routes.put(route(51, generation=2, status={"links": 2}))
        await idle()
        assert world.judged == []


async def test_an_edit_of_the_workload_concerns_each_link() -> None:
    world = World().with_pods(0)
    world.links.put(link(30, pod=0))
    async with served(world):
        world.workloads.put(workload(50, service_name="other"))
        await idle()
        (found,) = world.links.in_group(GAME).values()
        assert found.acknowledged is not None
        assert found.acknowledged.host == "game-0.other.games.svc"


async def test_a_pod_that_comes_back_under_another_host_is_told_to_its_links() -> None:
    world = World().with_pods(0)
    world.links.put(link(30, pod=0))
    async with served(world):
        world.pods.drop("games", "game-0", 40)
        world.workloads.put(workload(50, service_name="other"))
        await idle()
        world.pods.put(pod(60, 0))
        await idle()
        (found,) = world.links.in_group(GAME).values()
        assert found.acknowledged is not None
        assert found.acknowledged.host == "game-0.other.games.svc"


async def test_links_that_wait_for_the_workload_are_bound_when_it_comes() -> None:
    world = World()
    world.routes.put(route(10))
    world.links.put(link(30))
    async with served(world):
        assert world.said_of("alice") == "WorkloadNotFound"
        world.workloads.put(workload(40))
        await idle()
        assert world.said_of("alice") == "NoAvailablePod"
        world.pods.put(pod(41, 0))
        await idle()
        assert world.said_of("alice") == "Bound"


async def test_links_of_a_workload_that_was_not_read_yet_are_left_alone_until_it_is() -> None:
    world = World()
    world.routes.put(route(10, spec={"workloadRef": {"kind": "Deployment"}}))
    world.pods.put(named(20))
    world.scales.put(11)
    world.links.put(link(30))
    async with served(world):
        assert (world.judged, world.writer.written) == (["alice"], [])
        await world.read()
        await idle()
        assert world.writer.written == [("alice", "game-a"), ("alice", "Bound")]


async def test_links_that_are_being_deleted_are_left_alone() -> None:
    world = World().with_pods(0)
    world.links.put(link(30, deleting=True))
    async with served(world):
        pass
    assert world.writer.written == []


async def test_the_links_of_a_deleted_route_are_told_so_when_its_worker_has_ended() -> None:
    world = World().with_pods(0)
    world.controller.start()
    world.links.put(link(30, "alice", pod=0))
    async with served(world) as end:
        world.routes.drop("games", "game", 50)
        await idle()
        end.set()
        await eventually(lambda: world.said_of("alice") == "RouteNotFound")
    await idle()
    assert world.writer.written == [("alice", "Bound"), ("alice", "RouteNotFound")]
    await world.controller.stop()


async def test_the_links_of_a_deleted_route_that_had_no_worker_are_told_so() -> None:
    world = World().with_pods(0)
    world.controller.start()
    world.links.put(link(30, "alice", pod=0))
    world.routes.drop("games", "game", 50)
    await idle()
    assert world.writer.written == [("alice", "RouteNotFound")]
    await world.controller.stop()


async def test_links_are_bound_again_when_their_route_comes_again() -> None:
    world = World().with_pods(0)
    world.controller.start()
    world.links.put(link(30, "alice", pod=0))
    world.routes.drop("games", "game", 50)
    await idle()
    world.routes.put(route(60))
    async with served(world):
        assert world.said_of("alice") == "Bound"
    await world.controller.stop()


async def test_nothing_is_denied_when_a_worker_ends_and_its_route_remains() -> None:
    world = World().with_pods(0)
    world.controller.start()
    world.links.put(link(30, "alice", pod=0))
    async with served(world):
        pass
    await idle()
    world.links.put(link(60, "bob", pod=0))
    await idle()
    assert world.writer.written == [("alice", "Bound")]
    await world.controller.stop()


async def test_a_worker_that_ends_finishes_what_is_under_way_and_takes_no_further_link() -> None:
    world = World(parallel=1).with_pods(0)
    world.links.put(link(30, "alice", pod=0))
    world.links.put(link(30, "bob", pod=0))
    world.writer.gate.clear()
    end = asyncio.Event()
    task = asyncio.create_task(world.controller.serve(GAME, end.wait))
    await idle()
    end.set()
    await idle()
    assert not task.done()
    world.links.put(link(30, "carol", pod=0))
    world.writer.gate.set()
    await task
    await idle()
    assert world.writer.written == [("alice", "Bound")]


async def test_a_worker_that_has_ended_watches_nothing() -> None:
    world = World().with_pods(0)
    async with served(world):
        assert list(world.views._watchers) == [GAME]  # noqa: SLF001 - a route that came and went must leave nothing
    assert list(world.views._watchers) == []  # noqa: SLF001 - as above


async def test_a_worker_that_ends_after_the_next_has_begun_takes_nothing_from_it() -> None:
    world = World().with_pods(0)
    world.controller.start()
    async with served(world) as end, served(world):
        end.set()
        await idle()
        world.links.put(link(60, "bob", pod=0))
        await idle()
        assert world.writer.written == [("bob", "Bound")]
    await world.controller.stop()


async def test_a_worker_that_is_cancelled_finishes_what_is_under_way() -> None:
    world = World().with_pods(0)
    world.links.put(link(30, "alice", pod=0))
    world.writer.gate.clear()
    task = asyncio.create_task(world.controller.serve(GAME, asyncio.Event().wait))
    await idle()
    task.cancel()
    await idle()
    assert not task.done()
    world.writer.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.writer.written == [("alice", "Bound")]


@pytest.mark.parametrize("failure", [ConflictError(409, "Conflict", "modified"), UnreachableError("cut")])
async def test_a_write_that_fails_is_judged_anew(failure: ConflictError | UnreachableError) -> None:
    world = World().with_pods(0)
    world.links.put(link(30))
    world.writer.failures.append(failure)
    with capture_logs():
        async with served(world):
            await eventually(lambda: world.said_of("alice") == "Bound")
    assert world.writer.written == [("alice", 0), ("alice", "Bound")]
    assert world.counts.of(GAME) == {0: 1}


async def test_stopping_waits_for_the_denials_under_way() -> None:
    world = World()
    world.controller.start()
    world.links.put(link(1))
    world.writer.gate.clear()
    await idle()
    stopping = asyncio.create_task(world.controller.stop())
    await idle()
    assert not stopping.done()
    world.writer.gate.set()
    await stopping
    assert world.writer.written == [("alice", "RouteNotFound")]


@pytest.mark.parametrize("end", ["absent", "deleting"])
async def test_there_is_nothing_to_do_about_a_link_that_is_gone_or_going(end: str) -> None:
    world = World().with_pods(0)
    if end == "deleting":
        world.links.put(link(30, deleting=True))
    assert await world.reconciler.reconcile(LinkKey(GAME, "game.alice")) == Outcome()
    assert world.writer.written == []


async def test_a_settled_link_costs_no_write_and_says_what_it_says() -> None:
    world = World().with_pods(0)
    world.links.put(link(30, pod=0, acknowledged=BOUND_TO_0, observed_generation=1))
    assert await world.reconciler.reconcile(LinkKey(GAME, "game.alice")) == Outcome(BOUND_TO_0, plan=Acknowledge)
    assert world.writer.written == []


async def test_a_link_that_is_deleted_between_its_two_writes_gets_only_one() -> None:
    world = World().with_pods(0)
    world.links.put(link(30))
    world.links.listen(lambda _, new: world.links.drop(GAME, "game.alice", 99) if new and new.pod == 0 else None)
    assert await world.reconciler.reconcile(LinkKey(GAME, "game.alice")) == Outcome(plan=Bind)
    assert world.writer.written == [("alice", 0)]
