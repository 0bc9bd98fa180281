"""Statuses that are rewritten although nothing has changed that clients depend on."""

import time

import msgspec

from statefulroute.api.vocabulary import LinkPhase, LinkReason
from statefulroute.domain.link import LinkStatus
from unit.controllers.environment import (
    GAME,
    Environment,
    eventually,
    idle,
    link,
    pod,
    route,
    running_route,
    workload,
)

BOUND_TO_0 = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "is on pod 0", 0, "game-0", "game-0.game.games.svc")
BOUND_TO_1 = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "is on pod 1", 1, "game-1", "game-1.game.games.svc")
NEWER = msgspec.structs.replace(BOUND_TO_0, phase=LinkPhase.UNKNOWN, reason=LinkReason.UNKNOWN)
FULL = LinkStatus(LinkPhase.PENDING, LinkReason.NO_AVAILABLE_POD, "there is no pod at all")


def with_statuses(environment: Environment, number: int, status: LinkStatus, pod: int | None) -> Environment:
    """Creates links with this status."""
    for version in range(100, 100 + number):
        environment.links.put(link(version, f"user-{version}", pod=pod, status=status, observed_generation=1))
    return environment


async def test_status_in_other_words_is_not_written() -> None:
    environment = with_statuses(Environment().with_pods(0), 3, BOUND_TO_0, 0)
    async with running_route(environment):
        assert environment.writer.written == []
        assert len(environment.reconciled) == 3


async def test_message_of_an_older_version_is_rewritten() -> None:
    environment = with_statuses(Environment(monotonic=time.monotonic).with_pods(), 3, FULL, None)
    async with running_route(environment):
        await eventually(lambda: len(environment.writer.written) == 3)
        assert {what for _, what in environment.writer.written} == {"NoAvailablePod"}
        assert environment.recorder.recorded == []


async def test_rewrites_take_turns_and_delay_no_other_link() -> None:
    environment = with_statuses(Environment(rewrites_per_second=1).with_pods(0, 1), 5, NEWER, 0)
    environment.links.put(link(200, "moves", pod=1, status=BOUND_TO_1, observed_generation=1))
    async with running_route(environment):
        environment.links.put(link(201, "new", pod=0))
        environment.workloads.put(workload(50, replicas=1))
        environment.pods.delete("games", "game-1", 51)
        await idle()
        written = environment.writer.written
        assert {("new", "Bound"), ("moves", 0), ("moves", "PodLost")} < set(written)
        assert len(written) == 4, "one status was rewritten"


async def test_rewrites_have_a_rate() -> None:
    environment = Environment(rewrites_per_second=50, monotonic=time.monotonic).with_pods(0)
    with_statuses(environment, 6, NEWER, 0)
    started = time.monotonic()  # the first rewrite may be done before the context has been entered
    async with running_route(environment):
        await eventually(lambda: len(environment.writer.written) == 6)
        assert time.monotonic() - started > 0.08
        assert [environment.reason_of(f"user-{version}") for version in range(100, 106)] == ["Bound"] * 6


async def test_link_that_waits_to_be_rewritten_is_bound_as_soon_as_a_pod_has_room() -> None:
    environment = with_statuses(Environment(rewrites_per_second=0.01).with_pods(), 4, FULL, None)
    async with running_route(environment):
        assert len(environment.writer.written) == 1
        environment.pods.put(pod(300, 0))
        await idle()
        assert [environment.reason_of(f"user-{version}") for version in range(100, 104)] == ["Bound"] * 4


async def test_link_that_is_lost_while_it_waits_to_be_rewritten_moves() -> None:
    environment = with_statuses(Environment(rewrites_per_second=0.01).with_pods(0, 1), 4, NEWER, 0)
    async with running_route(environment):
        environment.workloads.put(workload(50, first_index=1, replicas=1))
        environment.pods.delete("games", "game-0", 51)
        await eventually(lambda: _all_on(environment, 1))


def _all_on(environment: Environment, index: int) -> bool:
    return all(each.status_pod == index for each in environment.links.in_partition(GAME).values())


async def test_links_without_a_route_are_rewritten_in_their_turn() -> None:
    waits = LinkStatus(LinkPhase.UNKNOWN, LinkReason.UNKNOWN, "there is no route")
    environment = with_statuses(Environment(rewrites_per_second=1e3, monotonic=time.monotonic), 4, waits, 0)
    environment.controller.start()
    await eventually(lambda: len(environment.writer.written) == 4)
    assert {what for _, what in environment.writer.written} == {"RouteNotFound"}
    await environment.controller.stop()


async def test_turn_of_a_link_is_given_back_when_the_operator_stops() -> None:
    environment = with_statuses(Environment(rewrites_per_second=20, monotonic=time.monotonic).with_pods(0), 3, NEWER, 0)
    async with running_route(environment):
        pass
    assert len(environment.writer.written) == 1
    environment.routes.put(route(400, generation=2))
    async with running_route(environment):
        await eventually(lambda: len(environment.writer.written) == 3)
