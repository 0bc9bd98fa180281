"""Links of lost pods: who moves, when, and how fast; and who gets the room that becomes free."""

import asyncio
from datetime import timedelta

from statefulroute.api.vocabulary import RoutingState, ServiceState
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

SHORT = {"onPodLost": {"graceSeconds": 30}}


def with_users(world: Environment, **users: int) -> Environment:
    """Let links to these pods exist, bound before the operator saw them."""
    for version, (user, index) in enumerate(users.items(), start=100):
        world.links.put(link(version, user, pod=index))
    return world


async def test_the_links_of_a_pod_that_is_shut_down_move_at_once_and_only_those() -> None:
    world = with_users(Environment().with_pods(0, 1), alice=0, bob=1)
    async with running_route(world):
        world.writer.written.clear()
        world.pods.put(pod(50, 1, reported_routing_state=RoutingState.SHUTDOWN))
        await idle()
        assert world.writer.written == [("bob", 0), ("bob", "PodLost")]
        assert world.recorder.recorded[-1] == "PodLost"


async def test_a_pod_that_is_back_within_the_grace_moves_nobody() -> None:
    world = with_users(Environment().with_pods(0, 1), alice=1)
    async with running_route(world):
        world.writer.written.clear()
        world.pods.delete("games", "game-1", 50)
        await idle()
        world.now += timedelta(seconds=29)
        world.pods.put(pod(51, 1, service_state=ServiceState.PENDING))
        world.pods.put(pod(52, 1))
        await idle()
        assert world.writer.written == []


async def test_the_links_of_a_pod_that_never_comes_back_move_at_once_when_it_is_gone() -> None:
    world = await Environment().with_deployment("game-a", "game-b")
    world.links.put(link(100, "alice", pod="game-a"))
    world.links.put(link(101, "bob", pod="game-b"))
    async with running_route(world):
        world.writer.written.clear()
        ends = deployment_pod(50, "game-a", service_state=ServiceState.TERMINATING, is_ready=True)
        world.pods.put(ends)
        await idle()
        assert world.writer.written == [], "it still serves"
        world.pods.put(deployment_pod(51, "game-a", service_state=ServiceState.TERMINATING))
        await idle()
        assert world.writer.written == [], "it has its grace while it exists"
        world.pods.delete("games", "game-a", 52)
        await idle()
        assert world.writer.written == [("alice", "game-b"), ("alice", "PodLost")]


async def test_the_end_of_the_grace_is_noticed_without_any_event() -> None:
    world = Environment()
    world.routes.put(route(10, spec={"onPodLost": {"graceSeconds": 0}}))
    world.workloads.put(workload(11))
    world.pods.put(pod(12, 0))
    world.pods.put(pod(13, 1))
    with_users(world, alice=1)
    async with running_route(world):
        world.routes.put(route(20, generation=2, spec={"onPodLost": {"graceSeconds": 1}}))
        await idle()
        world.pods.delete("games", "game-1", 50)
        await idle()
        assert ("alice", 0) not in world.writer.written
        world.now += timedelta(seconds=1)  # the alarm rings by the loop's own clock, a second from now
        await eventually(lambda: ("alice", 0) in world.writer.written)


async def test_a_link_to_a_pod_that_never_was_there_starts_its_grace() -> None:
    world = Environment().with_pods(0)
    async with running_route(world):
        world.links.put(link(100, "alice", pod=2))
        await idle()
        assert world.reason_of("alice") == "PodNotFound"
        world.now += timedelta(seconds=30)
        world.pods.put(pod(60, 0, reported_routing_state=RoutingState.READY))
        await idle()
        assert world.writer.written[-2:] == [("alice", 0), ("alice", "Bound")]


async def test_moves_take_turns_and_new_links_do_not_wait_for_them() -> None:
    world = with_users(Environment(moves_per_second=1), alice=1, bob=1).with_pods(0, 1)
    async with running_route(world):
        world.writer.written.clear()
        world.workloads.put(workload(50, replicas=1))
        await idle()
        world.links.put(link(200, "new"))
        await idle()
        moved = [user for user, what in world.writer.written if what == "PodLost"]
        assert len(moved) == 1
        assert ("new", "Bound") in world.writer.written


async def test_an_api_server_that_is_slower_than_the_pace_is_not_filled_with_moves() -> None:
    users = {f"user-{number}": 1 for number in range(20)}
    world = with_users(Environment(parallel=8, moves_per_second=100, moves_at_a_time=2), **users).with_pods(0, 1)
    async with running_route(world):
        world.writer.written.clear()
        world.writer.unblocked.clear()
        world.workloads.put(workload(50, replicas=1))
        await eventually(lambda: world.writer.in_flight)
        world.seconds += 60  # by now all have had their turn
        await asyncio.sleep(0.3)
        assert world.writer.in_flight == 2
        world.links.put(link(200, "new", pod=0))
        await eventually(lambda: world.writer.in_flight == 3)
        world.writer.unblocked.set()
        await eventually(lambda: ("new", "Bound") in world.writer.written)


async def test_lost_links_that_found_no_pod_move_when_one_comes() -> None:
    world = with_users(Environment().with_pods(1), alice=1)
    async with running_route(world):
        world.pods.put(pod(50, 1, reported_routing_state=RoutingState.SHUTDOWN))
        await idle()
        assert world.reason_of("alice") == "PodLost"
        world.pods.put(pod(51, 0))
        await idle()
        assert world.writer.written[-2:] == [("alice", 0), ("alice", "PodLost")]


async def test_an_expired_link_is_removed_when_its_time_is_told() -> None:
    world = Environment().with_pods(0)
    world.links.put(link(100, "alice", pod=0, expire_time=world.now + timedelta(seconds=5)))
    async with running_route(world):
        world.now += timedelta(seconds=5)
        (expiring,) = world.links.in_partition(GAME).values()
        world.controller.add(expiring)
        await idle()
        assert world.writer.written[-1] == ("alice", "removed")
        assert world.recorder.recorded[-1] == "Expired"


async def test_room_goes_to_the_oldest_that_waits_for_it() -> None:
    world = Environment()
    world.routes.put(route(10, spec={"placement": {"maxLinksPerPod": 1}}))
    world.workloads.put(workload(11))
    world.pods.put(pod(12, 0))
    with_users(world, alice=0)
    async with running_route(world):
        world.links.put(link(200, "late", creation_timestamp=20))
        world.links.put(link(201, "early", creation_timestamp=10))
        await idle()
        assert {world.reason_of("late"), world.reason_of("early")} == {"AtCapacity"}
        world.links.delete(GAME, "game.alice", 300)
        await idle()
        assert (world.reason_of("early"), world.reason_of("late")) == ("Bound", "AtCapacity")


async def test_every_link_of_a_route_is_judged_after_an_edit_however_many_there_are() -> None:
    users = {f"user-{number}": number % 2 for number in range(5000)}
    world = with_users(Environment(), **users).with_pods(0, 1)
    async with running_route(world):
        await eventually(lambda: len(world.reconciled) >= len(users))
        await eventually(lambda: not world.controller.backlog().depth)
        world.reconciled.clear()
        world.routes.put(route(20, generation=2, spec={"tags": ["lobby"]}))
        await eventually(lambda: len(world.reconciled) >= len(users))
        assert set(world.reconciled) == set(users)
