"""One turn of a route's state timer: which pods are polled, how responses are stored, and what is annotated."""

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
from statefulroute.cluster.errors import APIError, ConflictError, NotFoundError, UnreachableError
from statefulroute.cluster.load_client import LoadClient, LoadUnreadableError
from statefulroute.cluster.writes import PodWriter
from statefulroute.controllers.routes.refresh import RouteRefresher
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.load import Load, LoadReport, LoadResponse
from statefulroute.domain.pod import Pod, PodAnnotations
from statefulroute.domain.route import Route, RouteView
from statefulroute.domain.workload import Workload
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


def reachable_pod(index: int, version: int = 20, **more: Any) -> Pod:
    """A pod of the StatefulSet, with its own IP address."""
    return pod(version + index, index, **{"ip": f"10.0.0.{index}", "uid": f"uid-{index}"} | more)


class RefresherEnvironment(Environment):
    """A test environment with the refresher of its route."""

    def __init__(self, spec: dict[str, Any] | None = None, *, annotates: bool = True) -> None:
        super().__init__()
        self.load_client = FakeLoadClient()
        self.pod_writer = FakePodWriter(self.informers)
        self.refresher = RouteRefresher(
            self.informers,
            self.route_store,
            cast("LoadClient", self.load_client),
            cast("PodWriter", self.pod_writer),
            lambda: self.now,
            annotates=annotates,
        )
        self.routes.put(route(10, spec=http() if spec is None else spec))
        self.workloads.put(workload(11))

    @property
    def route(self) -> Route:
        current = self.routes.get(*GAME)
        assert current is not None
        return current

    @property
    def view(self) -> RouteView:
        view = self.route_store.get(GAME)
        assert view is not None
        return view

    async def turn(self) -> list[str]:
        """Takes a whole turn; returns the endpoints that were polled."""
        return await self._polled(self.refresher.refresh(self.route))

    async def poll_new_pods(self) -> list[str]:
        return await self._polled(self.refresher.poll_new_pods(self.route))

    async def _polled(self, poll: Any) -> list[str]:
        self.load_client.polled.clear()
        await poll
        return sorted(self.load_client.polled)


async def test_every_ready_pod_is_polled_and_its_response_counts_from_then_on() -> None:
    environment = RefresherEnvironment()
    environment.pods.put(reachable_pod(0))
    environment.pods.put(reachable_pod(1))
    environment.links.put(link(30, pod=1))
    environment.load_client.responses = {
        "10.0.0.0": LoadResponse(3, 7),
        "10.0.0.1": LoadResponse(1, 0, RoutingState.DENY_NEW_CALL),
    }
    environment.now += timedelta(seconds=5)
    assert await environment.turn() == ["10.0.0.0:80", "10.0.0.1:80"]
    assert environment.view.loads == {
        0: Load(LoadReport(3, 7, environment.now), 0),
        1: Load(LoadReport(1, 0, environment.now), 1, RoutingState.DENY_NEW_CALL),
    }
    assert environment.view.pods[1].routing_state is RoutingState.DENY_NEW_CALL


@pytest.mark.parametrize(
    ("member", "is_polled"),
    [
        (reachable_pod(0), True),
        (reachable_pod(0, service_state=ServiceState.TERMINATING, is_ready=True), True),
        (reachable_pod(0, service_state=ServiceState.NOT_READY), False),
        (reachable_pod(0, service_state=ServiceState.PENDING), False),
        (reachable_pod(0, ip=""), False),
        (reachable_pod(0, reported_routing_state=RoutingState.SHUTDOWN), True),
        (reachable_pod(0, owner=None), False),
    ],
    ids=["ready", "terminating and ready", "not ready", "pending", "no address", "shut down", "of another owner"],
)
async def test_only_reachable_pods_of_the_route_are_polled(member: Pod, is_polled: bool) -> None:
    environment = RefresherEnvironment()
    environment.pods.put(member)
    assert await environment.turn() == (["10.0.0.0:80"] if is_polled else [])


async def test_no_pod_is_polled_where_pods_report_in_annotations() -> None:
    environment = RefresherEnvironment({})
    environment.pods.put(reachable_pod(0))
    assert await environment.turn() == []
    assert await environment.poll_new_pods() == []


async def test_error_of_one_pod_is_stored_and_the_others_are_read() -> None:
    environment = RefresherEnvironment()
    environment.pods.put(reachable_pod(0))
    environment.pods.put(reachable_pod(1))
    environment.load_client.responses = {
        "10.0.0.0": LoadUnreadableError("did not answer within 1 s"),
        "10.0.0.1": LoadResponse(1),
    }
    await environment.turn()
    assert (set(environment.view.loads), environment.view.load_errors) == ({1}, {0: "did not answer within 1 s"})
    environment.load_client.responses["10.0.0.0"] = LoadResponse(2)
    await environment.turn()
    assert (set(environment.view.loads), environment.view.load_errors) == ({0, 1}, {})


async def test_only_pods_that_became_ready_are_polled_between_two_turns() -> None:
    environment = RefresherEnvironment()
    environment.pods.put(reachable_pod(0))
    environment.pods.put(reachable_pod(1, service_state=ServiceState.NOT_READY))
    await environment.turn()
    assert await environment.poll_new_pods() == []
    environment.pods.put(reachable_pod(1, 50))
    environment.pods.put(reachable_pod(2, 50))
    assert await environment.poll_new_pods() == ["10.0.0.1:80", "10.0.0.2:80"]
    assert await environment.poll_new_pods() == []
    assert len(await environment.turn()) == 3


NEW: dict[str, Callable[[RefresherEnvironment], object]] = {
    "a pod that was created again": lambda environment: environment.pods.put(reachable_pod(0, 50, uid="another")),
    "another port": lambda environment: environment.routes.put(route(50, generation=2, spec=http(81))),
}


@pytest.mark.parametrize("change", NEW.values(), ids=NEW)
async def test_pod_that_was_not_polled_at_this_endpoint_is_polled(
    change: Callable[[RefresherEnvironment], object],
) -> None:
    environment = RefresherEnvironment()
    environment.pods.put(reachable_pod(0))
    await environment.turn()
    change(environment)
    assert len(await environment.poll_new_pods()) == 1
    assert await environment.poll_new_pods() == []


async def test_pods_are_polled_as_soon_as_their_route_reads_loads_over_http() -> None:
    environment = RefresherEnvironment({})
    environment.pods.put(reachable_pod(0))
    await environment.turn()
    environment.routes.put(route(50, generation=2, spec=http()))
    assert await environment.poll_new_pods() == ["10.0.0.0:80"]


async def test_turn_annotates_pods_with_changed_figures_only() -> None:
    environment = RefresherEnvironment({})
    await environment.with_deployment("game-a", "game-b")
    environment.links.put(link(30, pod="game-a"))
    environment.pods.put(deployment_pod(50, "game-a", load_report=LoadReport(10, 0, environment.now)))
    await environment.turn()
    assert environment.pod_writer.written == [("game-a", {WEIGHTED_LOAD: "3", POD_DELETION_COST: "1"})]
    environment.pod_writer.written.clear()
    await environment.turn()
    environment.now += timedelta(seconds=1)
    environment.pods.put(
        deployment_pod(
            60, "game-a", load_report=LoadReport(9, 1, environment.now), annotations=PodAnnotations("3", "1")
        )
    )
    environment.links.put(link(31, "bob", pod="game-b"))
    await environment.turn()
    assert sorted(environment.pod_writer.written) == [
        ("game-a", {WEIGHTED_LOAD: "3.4"}),
        ("game-b", {POD_DELETION_COST: "1"}),
    ]


@pytest.mark.parametrize(
    ("failure", "is_logged"),
    [
        (ConflictError(409, "Conflict", "another pod"), False),
        (NotFoundError(404, "NotFound", "gone"), False),
        (APIError(403, "Forbidden", "no"), True),
    ],
    ids=["another pod", "gone", "forbidden"],
)
async def test_failed_annotation_delays_no_other(failure: APIError, is_logged: bool) -> None:
    environment = RefresherEnvironment({})
    for index in (0, 1):
        environment.pods.put(reachable_pod(index, load_report=LoadReport(10, 0, environment.now)))
    environment.pod_writer.failures.append(failure)
    with capture_logs() as logs:
        await environment.turn()
    assert [name for name, _ in environment.pod_writer.written] == ["game-1"]
    assert bool(logs) is is_logged


async def test_namespace_whose_annotations_are_refused_pauses_alone() -> None:
    environment, other = RefresherEnvironment({}), RouteKey("other", "game")
    for number, namespace in enumerate((GAME.namespace, other.namespace)):
        environment.pods.put(reachable_pod(number, namespace=namespace, load_report=LoadReport(10, 0, environment.now)))
    environment.routes.put(route(10, other, spec={}))
    environment.workloads.put(workload(12, namespace=other.namespace))
    refused = APIError(429, "TooManyRequests", "denied by a webhook")
    refused.retry_after_seconds = 32.0
    environment.pod_writer.failures.append(refused)
    for _ in range(2):
        await environment.turn()
    assert environment.pod_writer.written == []
    other_route = environment.routes.get(*other)
    assert other_route is not None
    await environment.refresher.refresh(other_route)
    assert [name for name, _ in environment.pod_writer.written] == ["game-1"]


async def test_few_annotations_are_written_at_the_same_time() -> None:
    environment = RefresherEnvironment({})
    for index in range(9):
        environment.pods.put(reachable_pod(index, load_report=LoadReport(10, 0, environment.now)))
    environment.pod_writer.unblocked.clear()
    turn = asyncio.create_task(environment.turn())
    await idle()
    assert environment.pod_writer.in_flight == 4
    environment.pod_writer.unblocked.set()
    await turn
    assert len(environment.pod_writer.written) == 9


async def test_deleted_route_removes_its_annotations_from_pods_and_workload() -> None:
    environment = RefresherEnvironment({})
    await environment.with_deployment("game-a", "game-b")
    environment.pods.put(deployment_pod(50, "game-a", annotations=PodAnnotations("3", None)))
    environment.scales.annotations["game"] = {WORKLOAD_STATE: "High", WORKLOAD_LOAD: "3", "other": "x"}
    await environment.refresher.remove_annotations(environment.route)
    assert environment.pod_writer.written == [("game-a", {WEIGHTED_LOAD: None, POD_DELETION_COST: None})]
    assert environment.scales.annotations["game"] == {"other": "x"}


async def test_deleted_route_without_annotations_writes_nothing() -> None:
    environment = RefresherEnvironment({})
    await environment.with_deployment("game-a")
    environment.scales.requests.clear()
    await environment.refresher.remove_annotations(environment.route)
    assert environment.pod_writer.written == []
    assert environment.scales.requests == ["GET deployments/game"]


async def test_nothing_is_annotated_if_annotations_are_switched_off() -> None:
    environment = RefresherEnvironment({}, annotates=False)
    await environment.with_deployment("game-a")
    environment.links.put(link(30, pod="game-a"))
    environment.pods.put(
        deployment_pod(
            50, "game-a", load_report=LoadReport(10, 0, environment.now), annotations=PodAnnotations("1", None)
        )
    )
    environment.scales.annotations["game"] = {WORKLOAD_STATE: "High"}
    environment.scales.requests.clear()
    await environment.turn()
    await environment.refresher.remove_annotations(environment.route)
    assert environment.pod_writer.written == []
    assert set(environment.scales.requests) == {"GET deployments/game/scale"}


async def test_workload_that_cannot_be_written_does_not_delay_a_deletion() -> None:
    environment = RefresherEnvironment({})
    await environment.with_deployment("game-a")
    environment.scales.failures.append(APIError(403, "Forbidden", "no"))
    with capture_logs() as logs:
        await environment.refresher.remove_annotations(environment.route)
    assert len(logs) == 1


async def test_route_with_another_workload_removes_its_annotations_from_the_previous_one() -> None:
    environment = RefresherEnvironment({})
    await environment.with_deployment("game-a")
    await environment.refresher.refresh(environment.route)
    environment.pods.put(deployment_pod(50, "game-a", annotations=PodAnnotations("3", None)))
    environment.scales.annotations["game"] = {WORKLOAD_STATE: "High", "other": "x"}
    environment.scales.put(60, "chess")
    other = {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chess"}}
    environment.routes.put(route(61, generation=2, spec=other))
    await environment.refresher.refresh(environment.route)
    assert environment.pod_writer.written == [("game-a", {WEIGHTED_LOAD: None, POD_DELETION_COST: None})]
    assert environment.scales.annotations["game"] == {"other": "x"}
    environment.pod_writer.written.clear()
    await environment.refresher.refresh(environment.route)
    assert environment.pod_writer.written == []


CHESS = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chess"}
CHAT = CHESS | {"name": "chat"}


def moved_environment() -> RefresherEnvironment:
    """An environment whose route got the workload `chess` while no operator ran; before, it had `chat`."""
    environment = RefresherEnvironment({})
    environment.scales.put(40, "chat")
    environment.scales.put(41, "chess")
    environment.scales.annotations["chat"] = {WORKLOAD_STATE: "High", "other": "x"}
    environment.pods.put(deployment_pod(42, "chat-a", labels={"app": "chat"}, annotations=PodAnnotations("3", None)))
    environment.routes.put(route(43, generation=2, spec={"workloadRef": CHESS}, status={"workload": CHAT}))
    return environment


async def test_workload_that_was_left_while_no_operator_ran_loses_its_annotations() -> None:
    environment = moved_environment()
    assert environment.refresher.annotated_workload(environment.route) == environment.route.status.workload
    await environment.refresher.refresh(environment.route)
    assert environment.pod_writer.written == [("chat-a", {WEIGHTED_LOAD: None, POD_DELETION_COST: None})]
    assert environment.scales.annotations["chat"] == {"other": "x"}
    assert environment.refresher.annotated_workload(environment.route) == environment.route.observed_workload


@pytest.mark.parametrize("is_deleting", [False, True], ids=["another workload", "deleted"])
async def test_annotations_stay_on_a_workload_that_another_route_uses(is_deleting: bool) -> None:
    environment = moved_environment()
    other = route(44, RouteKey("games", "zebra"), spec={"workloadRef": CHAT})
    environment.routes.put(other)
    await environment.informers.workloads.refresh(other)
    if is_deleting:
        environment.routes.put(route(45, generation=2, spec={"workloadRef": CHAT}, is_deleting=True))
        await environment.refresher.remove_annotations(environment.route)
    else:
        await environment.refresher.refresh(environment.route)
    assert environment.pod_writer.written == []
    assert environment.scales.annotations["chat"] == {WORKLOAD_STATE: "High", "other": "x"}
    assert isinstance(environment.informers.workloads.get(other), Workload)
    if not is_deleting:
        assert environment.refresher.annotated_workload(environment.route) == environment.route.observed_workload


async def test_workload_is_left_again_until_it_could_be_read() -> None:
    environment = moved_environment()
    environment.scales.failures = [UnreachableError("no answer")] * 2
    with capture_logs():
        await environment.refresher.refresh(environment.route)
    assert environment.pod_writer.written == []
    assert environment.refresher.annotated_workload(environment.route) == environment.route.status.workload
    await environment.refresher.refresh(environment.route)
    assert environment.scales.annotations["chat"] == {"other": "x"}
    assert environment.refresher.annotated_workload(environment.route) == environment.route.observed_workload


@pytest.mark.parametrize("of_pod", [True, False], ids=["pod", "workload"])
@pytest.mark.parametrize("is_named", [True, False], ids=["named in the status", "known to the operator"])
async def test_workload_is_left_again_after_an_outage(of_pod: bool, is_named: bool) -> None:
    environment = moved_environment()
    if not is_named:
        environment.routes.put(route(44, spec={"workloadRef": CHAT}))
        await environment.refresher.refresh(environment.route)
        environment.routes.put(route(45, generation=2, spec={"workloadRef": CHESS}))
    if of_pod:
        environment.pod_writer.failures.append(UnreachableError("no answer"))
    else:
        environment.scales.write_failures.append(APIError(503, "ServiceUnavailable", "etcd"))
    with capture_logs():
        await environment.refresher.refresh(environment.route)
    former = environment.refresher.annotated_workload(environment.route)
    assert former is not None
    assert former.name == "chat"
    await environment.refresher.refresh(environment.route)
    assert environment.pod_writer.written == [("chat-a", {WEIGHTED_LOAD: None, POD_DELETION_COST: None})]
    assert environment.scales.annotations["chat"] == {"other": "x"}
    assert environment.refresher.annotated_workload(environment.route) == environment.route.observed_workload


async def test_workload_without_the_right_to_its_annotations_is_left_once() -> None:
    environment = moved_environment()
    environment.pod_writer.failures.append(APIError(403, "Forbidden", "no"))
    with capture_logs() as logs:
        await environment.refresher.refresh(environment.route)
    assert len(logs) == 1
    assert environment.refresher.annotated_workload(environment.route) == environment.route.observed_workload


async def test_route_that_was_changed_and_deleted_removes_its_annotations_from_both_workloads() -> None:
    environment = moved_environment()
    environment.scales.annotations["chess"] = {WORKLOAD_STATE: "Idle"}
    await environment.informers.workloads.refresh(environment.route)
    await environment.refresher.remove_annotations(environment.route)
    assert (environment.scales.annotations["chat"], environment.scales.annotations["chess"]) == ({"other": "x"}, {})


async def test_turn_of_a_deleted_route_polls_and_writes_nothing() -> None:
    environment = RefresherEnvironment()
    environment.pods.put(reachable_pod(0))
    deleted = environment.route
    environment.routes.delete(*GAME, 90)
    await environment.refresher.refresh(deleted)
    await environment.refresher.poll_new_pods(deleted)
    await environment.refresher.remove_annotations(deleted)
    assert (environment.load_client.polled, environment.pod_writer.written) == ([], [])


async def test_hanging_pods_need_few_tasks_however_many_they_are() -> None:
    environment = RefresherEnvironment()
    for index in range(200):
        environment.pods.put(reachable_pod(index))
    environment.load_client.unblocked.clear()
    before = len(asyncio.all_tasks())
    polling = asyncio.create_task(environment.turn())
    await idle()
    assert len(environment.load_client.polled) == 16
    assert len(asyncio.all_tasks()) - before == 1 + 16
    environment.load_client.unblocked.set()
    assert len(await polling) == 200
