"""The events of routes: one when a loss, the readiness or a drain changes, and none after a restart."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.cluster.errors import ConflictError
from statefulroute.domain.link import Link
from unit.controllers.environment import GAME, eventually, idle, link, pod, route, running_route, workload
from unit.controllers.timer_environment import HANDLED, TimerEnvironment, running, settled, shorten_delays

KEEP = {"onPodLost": {"action": "Keep", "graceSeconds": 30}}
REBIND = {"onPodLost": {"action": "Rebind", "graceSeconds": 30}}

LOST = "LossStarted: pod 'game-1' is lost with 2 links: PodDeleted"
BACK = "LossEnded: pod 'game-1' is back, and users are served again"
WITHOUT_LINKS = "LossEnded: pod 'game-1' is without links: all have moved or were deleted"


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_delays(monkeypatch)


def environment_with_links(**spec: object) -> TimerEnvironment:
    """Returns an environment with two pods and two links of the second one."""
    environment = TimerEnvironment()
    environment.routes.put(route(10, spec=spec, **HANDLED))
    environment.workloads.put(workload(11, replicas=2))
    for index in range(2):
        environment.pods.put(pod(12 + index, index))
    for user in ("alice", "bob"):
        environment.links.put(link(20, user, pod=1))
    return environment


@asynccontextmanager
async def operating(environment: TimerEnvironment) -> AsyncIterator[None]:
    """Runs the state timer and the queue of the route, until everything is written once."""
    calls = environment.route_writer.calls
    async with running_route(environment), running(environment):
        await eventually(lambda: environment.route_writer.calls > calls)
        await idle()
        yield


async def lose(environment: TimerEnvironment) -> None:
    """Deletes the pod with the links, and lets its grace period pass."""
    environment.pods.delete("games", "game-1", 50)
    await idle()
    environment.now += timedelta(seconds=31)
    environment.pods.put(pod(51, 0, labels={"changed": "yes"}))
    await idle()


def successor_of(first: TimerEnvironment) -> TimerEnvironment:
    """Returns the environment of the next operator, which finds the objects as they are after `lose`."""
    second = TimerEnvironment()
    second.now = first.now
    second.routes.put(first.route)
    second.workloads.put(workload(11, replicas=2))
    second.pods.put(pod(51, 0))
    for each in links_of(first):
        second.links.put(each)
    return second


async def test_loss_has_an_event_before_its_links_move_and_one_when_all_have_moved() -> None:
    environment = environment_with_links(**REBIND)
    async with operating(environment):
        await lose(environment)
        await eventually(lambda: WITHOUT_LINKS in environment.recorder.notes)
    assert environment.recorder.notes == [LOST, WITHOUT_LINKS]
    reasons = [reason for reason in environment.recorder.recorded if "Lo" in reason]
    assert reasons == ["LossStarted", "PodLost", "PodLost", "LossEnded"]
    assert environment.last_status.lost_pods == ()


async def test_status_contains_a_lost_pod_until_it_is_back() -> None:
    environment = environment_with_links(**KEEP)
    async with operating(environment):
        await lose(environment)
        await eventually(lambda: environment.last_status.lost_pods)
        (lost,) = environment.last_status.lost_pods
        assert (lost.index, lost.name, lost.cause, lost.links) == (1, "game-1", "PodDeleted", 2)
        environment.pods.put(pod(60, 1, service_state=ServiceState.PENDING))
        await idle()
        assert environment.recorder.notes == [LOST]
        environment.pods.put(pod(61, 1))
        await eventually(lambda: not environment.last_status.lost_pods)
    assert environment.recorder.notes == [LOST, BACK]


async def test_another_operator_repeats_no_event_and_records_the_end_of_a_loss() -> None:
    first = environment_with_links(**KEEP)
    async with operating(first):
        await lose(first)
        await eventually(lambda: first.last_status.lost_pods)
    second = successor_of(first)
    async with operating(second):
        second.now += timedelta(seconds=31)
        second.pods.put(pod(60, 0, labels={"changed": "again"}))
        await idle()
        assert second.recorder.notes == []
        second.pods.put(pod(61, 1))
        await eventually(lambda: second.recorder.notes)
    assert second.recorder.notes == [BACK]


async def test_another_operator_writes_no_status_of_a_lost_link() -> None:
    first = environment_with_links(**KEEP)
    async with operating(first):
        await lose(first)
        await eventually(lambda: first.last_status.lost_pods)
    second = successor_of(first)
    async with operating(second):
        assert second.writer.written == [], "the grace period runs again"
        second.now += timedelta(seconds=31)
        second.pods.put(pod(60, 0, labels={"changed": "again"}))
        await idle()
        assert second.writer.written == []
        second.pods.put(pod(61, 1))
        await eventually(lambda: second.writer.written)
    assert second.writer.written == [("alice", "Bound"), ("bob", "Bound")]


async def test_operator_that_leads_again_repeats_no_event_of_another_one() -> None:
    environment = environment_with_links(**KEEP)
    async with operating(environment):
        await lose(environment)
        await eventually(lambda: environment.last_status.lost_pods)
    other = environment.route
    environment.pods.put(pod(60, 1))
    environment.routes.put(
        route(other.resource_version + 10, spec=KEEP, status={"observedGeneration": 1, "lostPods": []})
    )
    environment.recorder.notes.clear()
    async with operating(environment):
        await idle()
    assert environment.recorder.notes == []


async def test_view_that_is_built_after_a_term_leaves_no_loss_to_the_next_one() -> None:
    environment = environment_with_links(**KEEP)
    async with operating(environment):
        await lose(environment)
        await eventually(lambda: environment.last_status.lost_pods)
    environment.pods.put(pod(59, 0, labels={"changed": "late"}))
    environment.route_store.get(GAME)  # as a handler of kopf does, which is stopped last
    environment.pods.put(pod(60, 1))
    environment.routes.put(
        route(environment.route.resource_version + 10, spec=KEEP, status={"observedGeneration": 1, "lostPods": []})
    )
    environment.recorder.notes.clear()
    async with running(environment):
        await settled(environment)
    assert environment.recorder.notes == []


async def test_route_that_is_created_again_ends_no_loss_of_its_predecessor() -> None:
    environment = environment_with_links(**KEEP)
    async with operating(environment):
        await lose(environment)
        await eventually(lambda: environment.last_status.lost_pods)
        environment.recorder.notes.clear()
        environment.routes.put(replace(environment.route, resource_version=1000, is_deleting=True))
        environment.route_store.get(GAME)  # as a scrape of the metrics does while the finalizer remains
        environment.routes.delete("games", "game", 1001)
        environment.pods.put(pod(1002, 1))
        environment.routes.put(route(1003, uid="another", spec=KEEP, **HANDLED))
        await settled(environment)
    assert environment.recorder.notes == []


async def test_readiness_has_events_when_it_changes_and_none_after_a_restart() -> None:
    environment = environment_with_links(**KEEP)
    async with operating(environment):
        assert environment.recorder.notes == [], "the first status has no event"
        for index in range(2):
            environment.pods.put(pod(60 + index, index, service_state=ServiceState.NOT_READY))
        await eventually(lambda: environment.recorder.notes)
    assert environment.recorder.notes == ["NoRoutablePod: no pod of the workload is ready and takes users"]
    async with operating(environment):
        await idle()
        assert len(environment.recorder.notes) == 1
        environment.pods.put(pod(70, 0))
        await eventually(lambda: len(environment.recorder.notes) == 2)
    assert environment.recorder.notes[1] == "Routable: 1 of 2 pods serve users"


async def test_drain_has_an_event_when_its_status_is_written() -> None:
    environment = environment_with_links()
    async with operating(environment):
        edited = {"spec": {"routingState": "DenyNewCall"}, "generation": 2}
        environment.routes.put(route(500, **edited, status={"observedGeneration": 2, "routingState": "Ready"}))
        await eventually(lambda: environment.last_status.routing_state is RoutingState.DENY_NEW_CALL)
    change = "routingState changed from Ready to DenyNewCall (generation 2)"
    effect = "the pods keep their users and take no new ones"
    assert environment.recorder.notes == [f"DrainStarted: {change}: {effect}"]


async def test_status_that_is_not_written_has_no_event() -> None:
    environment = environment_with_links()
    async with operating(environment):
        environment.route_writer.failures = [ConflictError(409, "Conflict", "changed")] * 3
        for index in range(2):
            environment.pods.put(pod(60 + index, index, service_state=ServiceState.NOT_READY))
        await eventually(lambda: not environment.route_writer.failures)
        await eventually(lambda: environment.recorder.notes)
    assert environment.recorder.notes == ["NoRoutablePod: no pod of the workload is ready and takes users"]


def links_of(environment: TimerEnvironment) -> list[Link]:
    """Returns the links of the route, as they are stored."""
    return list(environment.links.in_partition(GAME).values())
