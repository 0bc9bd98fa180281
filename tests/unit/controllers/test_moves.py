"""The links of lost pods: which of them move, when, and how fast; and which link gets free room."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest

from statefulroute.api.vocabulary import LinkPhase, LinkReason, LossCause, RoutingState, ServiceState
from statefulroute.cluster.errors import ClusterError, ConflictError, UnreachableError
from statefulroute.domain.keys import LinkKey, RouteKey
from statefulroute.domain.link import Link, LinkStatus
from statefulroute.domain.pod import Node
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


def with_users(environment: Environment, **users: int) -> Environment:
    """Creates links to these pods that were bound before the operator saw them."""
    for version, (user, index) in enumerate(users.items(), start=100):
        environment.links.put(link(version, user, pod=index))
    return environment


def scale_down(environment: Environment, replicas: int) -> None:
    """Removes the pod with this index, the last one."""
    environment.workloads.put(workload(50, replicas=replicas))
    environment.pods.delete("games", f"game-{replicas}", 51)


async def test_only_links_of_a_pod_that_is_shut_down_move_and_at_once() -> None:
    environment = with_users(Environment().with_pods(0, 1), alice=0, bob=1)
    async with running_route(environment):
        environment.writer.written.clear()
        environment.pods.put(pod(50, 1, reported_routing_state=RoutingState.SHUTDOWN))
        await idle()
        assert environment.writer.written == [("bob", 0), ("bob", "PodLost")]
        assert environment.recorder.recorded[-1] == "PodLost"


async def test_links_of_a_pod_that_was_evicted_have_that_as_the_cause_of_their_moves() -> None:
    environment = with_users(Environment().with_pods(0, 1), alice=1)
    environment.routes.put(route(20, generation=2, spec={"onPodLost": {"graceSeconds": 0}}))
    async with running_route(environment):
        evicted = {"service_state": ServiceState.TERMINATING, "disruption": "EvictionByEvictionAPI"}
        environment.pods.put(pod(50, 1, is_ready=True, **evicted))
        await idle()
        environment.pods.delete("games", "game-1", 51)
        await idle()
        assert environment.writer.causes == [LossCause.POD_EVICTED]


async def test_cause_in_the_status_of_the_route_survives_a_restart() -> None:
    lost = {"index": 1, "name": "game-1", "cause": "PodEvicted", "links": 1, "lostTime": "2026-01-01T00:00:00Z"}
    environment = Environment().with_pods(0)
    status = LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, "lost before the restart", 1, "game-1")
    environment.links.put(link(15, "alice", pod=1, status=status))
    environment.routes.put(
        route(20, generation=2, spec={"onPodLost": {"graceSeconds": 0}}, status={"lostPods": [lost]})
    )
    async with running_route(environment):
        await eventually(lambda: environment.writer.causes)
        assert environment.writer.causes == [LossCause.POD_EVICTED]


async def test_link_that_was_lost_before_a_restart_moves_from_its_pod_after_the_grace_period() -> None:
    environment = Environment().with_pods(0)
    status = LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, "lost before the restart", 1, "game-1")
    environment.links.put(link(15, "alice", pod=1, status=status, observed_generation=1))
    async with running_route(environment):
        assert environment.writer.written == []
        environment.now += timedelta(seconds=31)
        environment.pods.put(pod(50, 0, labels={"changed": "yes"}))
        await eventually(lambda: environment.writer.causes)
        assert environment.writer.written == [("alice", 0), ("alice", "PodLost")]
        assert environment.writer.causes == [LossCause.POD_DELETED]


async def test_cause_in_the_status_of_the_route_is_not_that_of_a_pod_that_is_back() -> None:
    lost = {"index": 1, "name": "game-1", "cause": "PodEvicted", "links": 1, "lostTime": "2026-01-01T00:00:00Z"}
    environment = with_users(Environment().with_pods(0, 1), alice=1)
    environment.routes.put(
        route(20, generation=2, spec={"onPodLost": {"graceSeconds": 0}}, status={"lostPods": [lost]})
    )
    async with running_route(environment):
        environment.pods.delete("games", "game-1", 50)
        await eventually(lambda: environment.writer.causes)
        assert environment.writer.causes == [LossCause.POD_DELETED]


async def test_pod_that_fails_and_is_deleted_at_once_has_failed() -> None:
    environment = with_users(Environment().with_pods(0, 1), alice=1)
    environment.routes.put(route(20, generation=2, spec={"onPodLost": {"graceSeconds": 0}}))
    async with running_route(environment):
        environment.pods.put(pod(50, 1, service_state=ServiceState.FAILED))
        environment.pods.put(pod(51, 1, service_state=ServiceState.TERMINATING))
        environment.pods.delete("games", "game-1", 52)
        await idle()
        assert environment.writer.causes == [LossCause.POD_FAILED]


async def test_replaced_pod_has_no_cause_of_its_predecessor() -> None:
    environment = with_users(Environment().with_pods(0, 1), alice=1)
    environment.routes.put(route(20, generation=2, spec={"onPodLost": {"graceSeconds": 0}}))
    async with running_route(environment):
        evicted = {"service_state": ServiceState.TERMINATING, "disruption": "EvictionByEvictionAPI"}
        environment.pods.put(pod(50, 1, is_ready=True, **evicted))
        environment.pods.delete("games", "game-1", 51)
        environment.pods.put(pod(52, 1))
        await idle()
        assert environment.writer.causes == []
        environment.pods.delete("games", "game-1", 53)
        await idle()
        assert environment.writer.causes == [LossCause.POD_DELETED]


@pytest.mark.parametrize("failure", [ConflictError(409, "Conflict", "changed"), UnreachableError("no answer")])
async def test_cause_of_a_move_survives_a_failed_write_of_the_status(failure: ClusterError) -> None:
    environment = with_users(Environment().with_pods(0, 1), alice=1)
    environment.routes.put(route(20, generation=2, spec={"onPodLost": {"graceSeconds": 0}}))
    update_status, failures = environment.writer.update_status, [failure]

    async def failing(link: Link, status: LinkStatus, *details: Any) -> str:
        if link.pod == 0 and failures:
            # The next view does not show the loss: no link is left on the pod.
            environment.pods.put(pod(60, 0, reported_routing_state=RoutingState.READY))
            raise failures.pop()
        return await update_status(link, status, *details)

    environment.writer.update_status = failing  # type: ignore[method-assign]
    async with running_route(environment):
        environment.writer.written.clear()
        environment.pods.delete("games", "game-1", 50)
        await eventually(lambda: environment.writer.causes)
        assert not failures
        assert environment.writer.written == [("alice", 0), ("alice", "PodLost")]
        assert environment.writer.causes == [LossCause.POD_DELETED]


async def test_pod_that_is_back_within_the_grace_period_moves_no_link() -> None:
    environment = with_users(Environment().with_pods(0, 1), alice=1)
    async with running_route(environment):
        environment.writer.written.clear()
        environment.pods.delete("games", "game-1", 50)
        await idle()
        environment.now += timedelta(seconds=29)
        environment.pods.put(pod(51, 1, service_state=ServiceState.PENDING))
        environment.pods.put(pod(52, 1))
        await idle()
        assert environment.writer.written == []


async def test_time_of_day_that_jumps_ends_no_grace_period() -> None:
    environment = with_users(Environment().with_pods(0, 1), alice=1)
    async with running_route(environment):
        environment.writer.written.clear()
        environment.pods.delete("games", "game-1", 50)
        await idle()
        environment.skew = timedelta(hours=1)
        environment.pods.put(pod(51, 0, uid="another"))
        await idle()
        assert environment.writer.written == []


async def test_links_of_a_pod_that_never_comes_back_move_when_it_is_deleted() -> None:
    environment = await Environment().with_deployment("game-a", "game-b")
    environment.links.put(link(100, "alice", pod="game-a"))
    environment.links.put(link(101, "bob", pod="game-b"))
    async with running_route(environment):
        environment.writer.written.clear()
        terminating = deployment_pod(50, "game-a", service_state=ServiceState.TERMINATING, is_ready=True)
        environment.pods.put(terminating)
        await idle()
        assert environment.writer.written == [], "it still serves its users"
        environment.pods.put(deployment_pod(51, "game-a", service_state=ServiceState.TERMINATING))
        await idle()
        assert environment.writer.written == [], "it has its grace period while it exists"
        environment.pods.delete("games", "game-a", 52)
        await idle()
        assert environment.writer.written == [("alice", "game-b"), ("alice", "PodLost")]


async def test_links_move_at_the_end_of_the_grace_period_without_any_event() -> None:
    environment = Environment()
    environment.routes.put(route(10, spec={"onPodLost": {"graceSeconds": 0}}))
    environment.workloads.put(workload(11))
    environment.pods.put(pod(12, 0))
    environment.pods.put(pod(13, 1))
    with_users(environment, alice=1)
    async with running_route(environment):
        environment.routes.put(route(20, generation=2, spec={"onPodLost": {"graceSeconds": 1}}))
        await idle()
        environment.pods.delete("games", "game-1", 50)
        await idle()
        assert ("alice", 0) not in environment.writer.written
        environment.now += timedelta(
            seconds=1
        )  # the deadline is reached a second from now, by the clock of the event loop
        await eventually(lambda: ("alice", 0) in environment.writer.written)


async def test_link_to_a_pod_that_never_existed_starts_the_grace_period() -> None:
    environment = Environment().with_pods(0)
    async with running_route(environment):
        environment.links.put(link(100, "alice", pod=2))
        await idle()
        assert environment.reason_of("alice") == "PodNotFound"
        environment.now += timedelta(seconds=30)
        environment.pods.put(pod(60, 0, reported_routing_state=RoutingState.READY))
        await idle()
        assert environment.writer.written[-2:] == [("alice", 0), ("alice", "Bound")]


async def test_moves_take_turns_and_new_links_do_not_wait_for_them() -> None:
    environment = with_users(Environment(moves_per_second=1), alice=1, bob=1).with_pods(0, 1)
    async with running_route(environment):
        environment.writer.written.clear()
        scale_down(environment, 1)
        await idle()
        environment.links.put(link(200, "new"))
        await idle()
        moved = [user for user, what in environment.writer.written if what == "PodLost"]
        assert len(moved) == 1
        assert ("new", "Bound") in environment.writer.written


async def test_moves_in_flight_are_limited_when_the_api_server_is_slower_than_their_rate() -> None:
    users = {f"user-{number}": 1 for number in range(20)}
    environment = with_users(
        Environment(concurrency=8, moves_per_second=100, max_moves_in_flight=2), **users
    ).with_pods(0, 1)
    async with running_route(environment):
        environment.writer.written.clear()
        environment.writer.unblocked.clear()
        scale_down(environment, 1)
        await eventually(lambda: environment.writer.in_flight)
        environment.seconds += 60  # the turns of all links have come by now
        await asyncio.sleep(0.3)
        assert environment.writer.in_flight == 2
        environment.links.put(link(200, "new", pod=0))
        await eventually(lambda: environment.writer.in_flight == 3)
        environment.writer.unblocked.set()
        await eventually(lambda: ("new", "Bound") in environment.writer.written)


async def test_moves_that_are_called_off_do_not_delay_the_links_of_the_next_lost_pod() -> None:
    users = {f"user-{number}": 1 for number in range(500)}
    environment = with_users(Environment(moves_per_second=10, monotonic=time.monotonic), **users, bob=2, carol=0)
    environment.with_pods(0, 1, 2)
    async with running_route(environment):
        await eventually(lambda: not environment.controller.backlog().depth)
        environment.writer.written.clear()
        environment.pods.put(pod(50, 1, reported_routing_state=RoutingState.SHUTDOWN))
        await eventually(lambda: len(environment.reconciled) >= 2 * len(users))
        environment.pods.put(pod(51, 2, reported_routing_state=RoutingState.SHUTDOWN))
        await idle()
        environment.pods.put(pod(52, 1))
        async with asyncio.timeout(5):  # 500 turns are 50 seconds
            await eventually(lambda: ("bob", "PodLost") in environment.writer.written)
            environment.pods.put(pod(53, 0, reported_routing_state=RoutingState.SHUTDOWN))
            await eventually(lambda: ("carol", "PodLost") in environment.writer.written)


@pytest.mark.parametrize("action", ["Keep", "Release"])
async def test_marks_and_deletions_of_links_of_lost_pods_are_paced_as_moves(action: str) -> None:
    environment = with_users(Environment(moves_per_second=1).with_pods(0), alice=0, bob=0)
    environment.routes.put(route(20, generation=2, spec={"onPodLost": {"action": action}}))
    async with running_route(environment):
        environment.writer.written.clear()
        environment.pods.put(pod(50, 0, reported_routing_state=RoutingState.SHUTDOWN))
        await idle()
        assert len(environment.writer.written) == 1
        environment.seconds += 1
        await eventually(lambda: len(environment.writer.written) == 2)


async def test_link_that_is_marked_already_needs_no_turn() -> None:
    environment = with_users(Environment(moves_per_second=1).with_pods(0), alice=0, bob=0)
    environment.routes.put(route(20, generation=2, spec={"onPodLost": {"action": "Keep"}}))
    async with running_route(environment):
        environment.pods.put(pod(50, 0, reported_routing_state=RoutingState.SHUTDOWN))
        await eventually(lambda: environment.reason_of("alice") == "PodLost")
        environment.seconds += 1
        for alice in environment.links.in_partition(GAME).values():
            if alice.uid == "alice":
                environment.controller.add(alice)
        await eventually(lambda: environment.reason_of("bob") == "PodLost")


async def test_links_of_a_pod_that_is_scaled_down_move_when_it_no_longer_serves_them() -> None:
    environment = with_users(Environment().with_pods(0, 1), alice=1)
    async with running_route(environment):
        environment.writer.written.clear()
        environment.workloads.put(workload(50, replicas=1))
        environment.pods.put(pod(51, 1, service_state=ServiceState.TERMINATING, is_ready=True))
        await idle()
        assert environment.writer.written == []
        environment.pods.put(pod(52, 1, service_state=ServiceState.TERMINATING))
        await idle()
        assert environment.writer.written == [("alice", 0), ("alice", "PodLost")]


async def test_links_move_from_a_node_that_was_deleted_and_not_from_one_that_was_not_seen_yet() -> None:
    environment = Environment().with_pods(0)
    environment.routes.put(route(20, generation=2, spec={"onPodLost": {"graceSeconds": 0}}))
    environment.pods.put(pod(21, 1, node_name="new"))
    with_users(environment, alice=1)
    nodes = environment.informers.nodes
    assert nodes is not None
    async with running_route(environment):
        environment.writer.written.clear()
        nodes.cache.put(Node(name="new", resource_version=30, is_ready=True))
        await idle()
        assert environment.writer.written == []
        nodes.cache.delete("", "new", 31)
        await idle()
        assert environment.writer.written == [("alice", 0), ("alice", "PodLost")]


async def test_lost_links_without_a_target_move_when_a_pod_appears() -> None:
    environment = with_users(Environment().with_pods(1), alice=1)
    async with running_route(environment):
        environment.pods.put(pod(50, 1, reported_routing_state=RoutingState.SHUTDOWN))
        await idle()
        assert environment.reason_of("alice") == "PodLost"
        environment.pods.put(pod(51, 0))
        await idle()
        assert environment.writer.written[-2:] == [("alice", 0), ("alice", "PodLost")]


async def test_expired_link_is_removed_when_it_is_reconciled() -> None:
    environment = Environment().with_pods(0)
    environment.links.put(link(100, "alice", pod=0, expire_time=environment.now + timedelta(seconds=5)))
    async with running_route(environment):
        environment.now += timedelta(seconds=5)
        (expiring,) = environment.links.in_partition(GAME).values()
        environment.controller.add(expiring)
        await idle()
        assert environment.writer.written[-1] == ("alice", "removed")
        assert environment.recorder.recorded[-1] == "Expired"


async def test_room_goes_to_the_oldest_waiting_link() -> None:
    environment = Environment()
    environment.routes.put(route(10, spec={"placement": {"maxLinksPerPod": 1}}))
    environment.workloads.put(workload(11))
    environment.pods.put(pod(12, 0))
    with_users(environment, alice=0)
    async with running_route(environment):
        environment.links.put(link(200, "late", creation_timestamp=20))
        environment.links.put(link(201, "early", creation_timestamp=10))
        await idle()
        assert {environment.reason_of("late"), environment.reason_of("early")} == {"AtCapacity"}
        environment.links.delete(GAME, "game.alice", 300)
        await idle()
        assert (environment.reason_of("early"), environment.reason_of("late")) == ("Bound", "AtCapacity")


async def test_place_that_gets_free_while_turns_are_taken_is_offered_to_one_link() -> None:
    """Otherwise each waiting link would ask for a turn, and hold up the links of other lost pods."""
    environment = Environment(max_moves_in_flight=2)
    environment.routes.put(route(10, spec={"placement": {"maxLinksPerPod": 2}}))
    environment.workloads.put(workload(11))
    for index in (0, 1):
        environment.pods.put(pod(12 + index, index))
    users = {f"user-{number}": 1 for number in range(20)}
    with_users(environment, alice=0, bob=0, **users)
    move_limiter = environment.reconciler._move_limiter  # noqa: SLF001
    others = [LinkKey(RouteKey("games", "chess"), f"chess.{number}") for number in range(2)]
    async with running_route(environment):
        environment.pods.put(pod(50, 1, reported_routing_state=RoutingState.SHUTDOWN))
        await eventually(lambda: all(environment.reason_of(user) == "PodLost" for user in users))
        assert all(move_limiter.take_turn(other) for other in others)
        environment.reconciled.clear()
        for user, version in (("alice", 300), ("bob", 301)):
            environment.links.delete(GAME, f"game.{user}", version)
            await idle()
        assert [user for user in environment.reconciled if user in users] == ["user-0", "user-1"]
        for other in others:
            move_limiter.release(other)
        await eventually(lambda: environment.reason_of("user-0") == environment.reason_of("user-1") == "Bound")
        await idle()
        assert len(environment.reconciled) < len(users)


async def test_place_that_is_not_taken_at_its_turn_is_offered_to_the_next_link() -> None:
    environment = Environment(max_moves_in_flight=1)
    environment.routes.put(route(10, spec={"placement": {"maxLinksPerPod": 1}}))
    environment.workloads.put(workload(11))
    for index in (0, 1):
        environment.pods.put(pod(12 + index, index))
    with_users(environment, alice=0, bob=1, carol=1)
    move_limiter = environment.reconciler._move_limiter  # noqa: SLF001
    other = LinkKey(RouteKey("games", "chess"), "chess.dave")
    async with running_route(environment):
        environment.pods.put(pod(50, 1, reported_routing_state=RoutingState.SHUTDOWN))
        await eventually(lambda: environment.reason_of("bob") == environment.reason_of("carol") == "PodLost")
        assert move_limiter.take_turn(other)
        environment.links.delete(GAME, "game.alice", 300)
        await idle()
        environment.links.delete(GAME, "game.bob", 301)
        await idle()
        move_limiter.release(other)
        await eventually(lambda: environment.reason_of("carol") == "Bound")


async def test_lost_link_that_cannot_move_now_leaves_the_room_to_others() -> None:
    environment = Environment()
    environment.routes.put(route(10, spec={"placement": {"maxLinksPerPod": 1}}))
    environment.workloads.put(workload(11))
    environment.pods.put(pod(12, 0))
    with_users(environment, alice=0)
    status = LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, "lost before the restart", 1, "game-1")
    environment.links.put(link(15, "lost", pod=1, status=status, observed_generation=1, creation_timestamp=1))
    async with running_route(environment):
        environment.links.put(link(200, "new", creation_timestamp=20))
        await idle()
        environment.links.delete(GAME, "game.alice", 300)
        await idle()
        assert (environment.reason_of("lost"), environment.reason_of("new")) == ("PodLost", "Bound")


async def test_edit_of_the_route_reconciles_every_one_of_many_links() -> None:
    users = {f"user-{number}": number % 2 for number in range(5000)}
    environment = with_users(Environment(), **users).with_pods(0, 1)
    async with running_route(environment):
        await eventually(lambda: len(environment.reconciled) >= len(users))
        await eventually(lambda: not environment.controller.backlog().depth)
        environment.reconciled.clear()
        environment.routes.put(route(20, generation=2, spec={"tags": ["lobby"]}))
        await eventually(lambda: len(environment.reconciled) >= len(users))
        assert set(environment.reconciled) == set(users)
