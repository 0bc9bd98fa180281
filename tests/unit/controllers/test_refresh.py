"""One turn of a route's state timer: who is asked, what becomes of the answers, and what is noted."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from statefulroute.api.annotations import (
    POD_DELETION_COST,
    WEIGHTED_LOAD,
    WORKLOAD_LOAD,
    WORKLOAD_STATE,
)
from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.cluster.errors import APIError, ConflictError, NotFoundError
from statefulroute.cluster.load_client import LoadClient, LoadUnreadableError
from statefulroute.cluster.writes import PodWriter
from statefulroute.controllers.routes.refresh import RouteRefresher
from statefulroute.domain.load import Load, LoadReport, LoadResponse
from statefulroute.domain.pod import Pod, PodAnnotations
from statefulroute.domain.route import Route, RouteView
from unit.controllers.environment import (
    GAME,
    Environment,
    FakeLoadClient,
    FakePodWriter,
    deployment_pod,
    idle,
    link,
    pod,
    route,
    workload,
)


def http(port: int = 80) -> dict[str, Any]:
    return {"load": {"source": "HTTP", "http": {"port": port}}}


def at(index: int, version: int = 20, **more: Any) -> Pod:
    """A pod of the StatefulSet, at an address of its own."""
    return pod(version + index, index, **{"ip": f"10.0.0.{index}", "uid": f"uid-{index}"} | more)


class Refreshed(Environment):
    """A world whose route is read."""

    def __init__(self, spec: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.endpoints = FakeLoadClient()
        self.notes = FakePodWriter(self.informers)
        self.refresh = RouteRefresher(
            self.informers,
            self.route_store,
            cast("LoadClient", self.endpoints),
            cast("PodWriter", self.notes),
            lambda: self.now,
        )
        self.routes.put(route(10, spec=http() if spec is None else spec))
        self.workloads.put(workload(11))

    @property
    def route(self) -> Route:
        found = self.routes.get(*GAME)
        assert found is not None
        return found

    @property
    def view(self) -> RouteView:
        found = self.route_store.get(GAME)
        assert found is not None
        return found

    async def turn(self) -> list[str]:
        """A whole turn; gives who was asked."""
        return await self._asked(self.refresh.refresh(self.route))

    async def newcomers(self) -> list[str]:
        return await self._asked(self.refresh.poll_new_pods(self.route))

    async def _asked(self, reading: Any) -> list[str]:
        self.endpoints.polled.clear()
        await reading
        return sorted(self.endpoints.polled)


async def test_every_ready_pod_is_asked_and_its_answer_counts_from_then() -> None:
    world = Refreshed()
    world.pods.put(at(0))
    world.pods.put(at(1))
    world.links.put(link(30, pod=1))
    world.endpoints.answers = {
        "10.0.0.0": LoadResponse(3, 7),
        "10.0.0.1": LoadResponse(1, 0, RoutingState.DENY_NEW_CALL),
    }
    world.now += timedelta(seconds=5)
    assert await world.turn() == ["10.0.0.0:80", "10.0.0.1:80"]
    assert world.view.loads == {
        0: Load(LoadReport(3, 7, world.now), 0),
        1: Load(LoadReport(1, 0, world.now), 1, RoutingState.DENY_NEW_CALL),
    }
    assert world.view.pods[1].routing_state is RoutingState.DENY_NEW_CALL


@pytest.mark.parametrize(
    ("member", "is_asked"),
    [
        (at(0), True),
        (at(0, service_state=ServiceState.TERMINATING, is_ready=True), True),
        (at(0, service_state=ServiceState.NOT_READY), False),
        (at(0, service_state=ServiceState.PENDING), False),
        (at(0, ip=""), False),
        (at(0, reported_routing_state=RoutingState.SHUTDOWN), True),
        (at(0, owner=None), False),
    ],
    ids=["ready", "ends and serves", "not ready", "pending", "no address", "shut down", "another's"],
)
async def test_only_a_pod_of_the_route_that_can_answer_is_asked(member: Pod, is_asked: bool) -> None:
    world = Refreshed()
    world.pods.put(member)
    assert await world.turn() == (["10.0.0.0:80"] if is_asked else [])


async def test_nobody_is_asked_where_pods_report_by_themselves() -> None:
    world = Refreshed({})
    world.pods.put(at(0))
    assert await world.turn() == []
    assert await world.newcomers() == []


async def test_a_pod_that_cannot_be_read_is_noted_as_such_and_the_others_are_read() -> None:
    world = Refreshed()
    world.pods.put(at(0))
    world.pods.put(at(1))
    world.endpoints.answers = {
        "10.0.0.0": LoadUnreadableError("did not answer within 1 s"),
        "10.0.0.1": LoadResponse(1),
    }
    await world.turn()
    assert (set(world.view.loads), world.view.load_errors) == ({1}, {0: "did not answer within 1 s"})
    world.endpoints.answers["10.0.0.0"] = LoadResponse(2)
    await world.turn()
    assert (set(world.view.loads), world.view.load_errors) == ({0, 1}, {})


async def test_a_pod_that_becomes_ready_between_two_turns_is_asked_and_the_others_are_not() -> None:
    world = Refreshed()
    world.pods.put(at(0))
    world.pods.put(at(1, service_state=ServiceState.NOT_READY))
    await world.turn()
    assert await world.newcomers() == []
    world.pods.put(at(1, 50))
    world.pods.put(at(2, 50))
    assert await world.newcomers() == ["10.0.0.1:80", "10.0.0.2:80"]
    assert await world.newcomers() == []
    assert len(await world.turn()) == 3


NEW: dict[str, Callable[[Refreshed], object]] = {
    "a pod that was made again": lambda world: world.pods.put(at(0, 50, uid="another")),
    "another port": lambda world: world.routes.put(route(50, generation=2, spec=http(81))),
}


@pytest.mark.parametrize("change", NEW.values(), ids=NEW)
async def test_who_was_not_asked_like_this_before_is_asked(change: Callable[[Refreshed], object]) -> None:
    world = Refreshed()
    world.pods.put(at(0))
    await world.turn()
    change(world)
    assert len(await world.newcomers()) == 1
    assert await world.newcomers() == []


async def test_pods_are_asked_as_soon_as_their_route_says_that_they_are_to_be() -> None:
    world = Refreshed({})
    world.pods.put(at(0))
    await world.turn()
    world.routes.put(route(50, generation=2, spec=http()))
    assert await world.newcomers() == ["10.0.0.0:80"]


async def test_a_turn_writes_on_a_pod_what_has_moved_and_nothing_else() -> None:
    world = Refreshed({})
    await world.with_deployment("game-a", "game-b")
    world.links.put(link(30, pod="game-a"))
    world.pods.put(deployment_pod(50, "game-a", load_report=LoadReport(10, 0, world.now)))
    await world.turn()
    assert world.notes.written == [("game-a", {WEIGHTED_LOAD: "3", POD_DELETION_COST: "1"})]
    world.notes.written.clear()
    await world.turn()
    world.now += timedelta(seconds=1)
    world.pods.put(
        deployment_pod(60, "game-a", load_report=LoadReport(9, 1, world.now), annotations=PodAnnotations("3", "1"))
    )
    world.links.put(link(31, "bob", pod="game-b"))
    await world.turn()
    assert sorted(world.notes.written) == [("game-a", {WEIGHTED_LOAD: "3.4"}), ("game-b", {POD_DELETION_COST: "1"})]


@pytest.mark.parametrize(
    ("failure", "is_logged"),
    [
        (ConflictError(409, "Conflict", "another pod"), False),
        (NotFoundError(404, "NotFound", "gone"), False),
        (APIError(403, "Forbidden", "no"), True),
    ],
    ids=["another pod", "gone", "forbidden"],
)
async def test_a_note_that_cannot_be_written_holds_up_no_other(failure: APIError, is_logged: bool) -> None:
    world = Refreshed({})
    for index in (0, 1):
        world.pods.put(at(index, load_report=LoadReport(10, 0, world.now)))
    world.notes.failures.append(failure)
    with capture_logs() as logs:
        await world.turn()
    assert [name for name, _ in world.notes.written] == ["game-1"]
    assert bool(logs) is is_logged


async def test_only_a_few_notes_are_written_at_the_same_time() -> None:
    world = Refreshed({})
    for index in range(9):
        world.pods.put(at(index, load_report=LoadReport(10, 0, world.now)))
    world.notes.unblocked.clear()
    turn = asyncio.create_task(world.turn())
    await idle()
    assert world.notes.in_flight == 4
    world.notes.unblocked.set()
    await turn
    assert len(world.notes.written) == 9


async def test_a_route_that_is_deleted_takes_its_notes_away_from_pods_and_workload() -> None:
    world = Refreshed({})
    await world.with_deployment("game-a", "game-b")
    world.pods.put(deployment_pod(50, "game-a", annotations=PodAnnotations("3", None)))
    world.scales.annotations["game"] = {WORKLOAD_STATE: "High", WORKLOAD_LOAD: "3", "other": "x"}
    await world.refresh.remove_annotations(world.route)
    assert world.notes.written == [("game-a", {WEIGHTED_LOAD: None, POD_DELETION_COST: None})]
    assert world.scales.annotations["game"] == {"other": "x"}


async def test_a_route_that_has_noted_nothing_writes_nothing_when_it_is_deleted() -> None:
    world = Refreshed({})
    await world.with_deployment("game-a")
    world.scales.requests.clear()
    await world.refresh.remove_annotations(world.route)
    assert world.notes.written == []
    assert world.scales.requests == ["GET deployments/game"]


async def test_a_workload_that_cannot_be_written_does_not_hold_up_a_deletion() -> None:
    world = Refreshed({})
    await world.with_deployment("game-a")
    world.scales.failures.append(APIError(403, "Forbidden", "no"))
    with capture_logs() as logs:
        await world.refresh.remove_annotations(world.route)
    assert len(logs) == 1


async def test_a_route_that_is_given_another_workload_takes_its_notes_away_from_the_one_that_it_leaves() -> None:
    world = Refreshed({})
    await world.with_deployment("game-a")
    await world.refresh.refresh(world.route)
    world.pods.put(deployment_pod(50, "game-a", annotations=PodAnnotations("3", None)))
    world.scales.annotations["game"] = {WORKLOAD_STATE: "High", "other": "x"}
    world.scales.put(60, "chess")
    other = {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chess"}}
    world.routes.put(route(61, generation=2, spec=other))
    await world.refresh.refresh(world.route)
    assert world.notes.written == [("game-a", {WEIGHTED_LOAD: None, POD_DELETION_COST: None})]
    assert world.scales.annotations["game"] == {"other": "x"}
    world.notes.written.clear()
    await world.refresh.refresh(world.route)
    assert world.notes.written == []


async def test_a_turn_of_a_route_that_is_gone_asks_and_writes_nothing() -> None:
    world = Refreshed()
    world.pods.put(at(0))
    gone = world.route
    world.routes.delete(*GAME, 90)
    await world.refresh.refresh(gone)
    await world.refresh.poll_new_pods(gone)
    await world.refresh.remove_annotations(gone)
    assert (world.endpoints.polled, world.notes.written) == ([], [])
