"""Plans of disruptions are carried out, and gone on with after faults, restarts and edits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import msgspec
import pytest

from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.api.vocabulary import ConditionType, RoutingState
from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import ClusterError, ConflictError, UnreachableError, api_error
from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.evictions import Evictor
from statefulroute.cluster.writes import RouteWriter
from statefulroute.controllers.disruption import controller as controller_module
from statefulroute.controllers.disruption import plan_writer
from statefulroute.controllers.disruption.controller import DisruptionController
from statefulroute.controllers.disruption.guard import EvictionGuard
from statefulroute.controllers.disruption.statuses import DisruptionStatuses
from statefulroute.domain.backoff import Backoff
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.placement import best_pod
from statefulroute.domain.pod import REVISION_LABEL, Owner
from statefulroute.domain.pod_summary import summarize_pods
from unit.controllers.environment import GAME, Environment, eventually, idle, link, pod, route, workload

OTHER = RouteKey("games", "other")


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller_module, "_SETTLE_SECONDS", 0.005)
    for name in ("_RETRY_SECONDS", "_REFUSED_SECONDS", "_UNSEEN_SECONDS", "_CONFLICT_SECONDS"):
        monkeypatch.setattr(plan_writer, name, 0.005)
    monkeypatch.setattr(plan_writer, "_EVICTION_BACKOFF", Backoff(0.005, 0.005, lambda: 1.0))


class ScaledEnvironment(Environment):
    """A StatefulSet of three pods whose route scales it, and a fake of the API server's scales."""

    def __init__(self, **spec: Any) -> None:
        super().__init__()
        self.versions = iter(range(100, 10_000))
        self.scaled: list[int] = []
        """The numbers of pods that were written."""
        self.failures: list[ClusterError] = []
        self.scales.merge_patch = self.patch_scale  # type: ignore[method-assign]
        self.statuses = DisruptionStatuses()
        self.evicted: list[str] = []
        """The names of the pods that were evicted."""
        self.evictor = cast("Evictor", self)
        self.disruptions = self.new_process()
        self.put_route(**{"replicas": 3} | spec)
        self.workloads.put(workload(next(self.versions)))
        for index in range(3):
            self.pods.put(pod(next(self.versions), index, uid=f"uid-{index}"))

    def new_process(self) -> DisruptionController:
        """Returns a controller as that of another process."""
        return DisruptionController(
            informers=self.informers,
            route_store=self.route_store,
            counts=self.counts,
            statuses=self.statuses,
            route_writer=cast("RouteWriter", None),
            evictor=self.evictor,
            recorder=cast("EventRecorder", self.recorder),
            clock=lambda: self.now,
            guard=EvictionGuard(cast("Client", self.scales), self.informers, self.route_store),
        )

    def put_route(self, key: RouteKey = GAME, **spec: Any) -> None:
        """Creates or edits a route; its status stays. Nothing guards its pods, unless the spec says so."""
        if "disruption" in spec:
            spec["disruption"] = {"protect": False, **spec["disruption"]}
        old, version = self.routes.get(*key), next(self.versions)
        status = old.status if old is not None else StatefulRouteStatus()
        self.routes.put(replace(route(version, key, spec=spec), generation=version, status=status))

    async def patch_scale(self, path: str, body: bytes) -> bytes:
        """Scales the StatefulSet, and deletes the pods beyond its replicas."""
        assert path == "/apis/apps/v1/namespaces/games/statefulsets/game/scale"
        if self.failures:
            raise self.failures.pop(0)
        change, current = msgspec.json.decode(body), self.workloads.get("games", "game")
        assert current is not None
        if change["metadata"]["resourceVersion"] != str(current.resource_version):
            raise ConflictError(409, "Conflict", "the object has been modified")
        replicas, version = change["spec"]["replicas"], next(self.versions)
        self.scaled.append(replicas)
        self.workloads.put(workload(version, replicas=replicas))
        for index in range(replicas, current.replicas):
            self.pods.delete("games", f"game-{index}", next(self.versions))
        return msgspec.json.encode({"metadata": {"resourceVersion": str(version)}})

    async def evict(self, namespace: str, name: str, uid: str) -> None:
        """Evicts a pod, which comes back in the latest revision."""
        current, pod_of_game = self.workloads.get("games", "game"), self.pods.get(namespace, name)
        assert current is not None
        assert pod_of_game is not None
        assert uid == pod_of_game.uid
        if self.failures:
            raise self.failures.pop(0)
        self.evicted.append(name)
        version, index = next(self.versions), int(name.removeprefix("game-"))
        self.pods.put(pod(version, index, uid=f"uid-{version}", labels={REVISION_LABEL: current.update_revision}))

    def roll_out(self) -> None:
        """Changes the template of the StatefulSet, whose pods have an older revision."""
        version = next(self.versions)
        self.workloads.put(workload(version, update_revision=f"v{version}", update_strategy="OnDelete"))

    def store_status(self, key: RouteKey = GAME) -> None:
        """Writes the status of a route."""
        view = self.route_store.get(key)
        assert view is not None
        shown = {"pods": summarize_pods(view, self.now).listed, "workload": view.route.observed_workload}
        status = view.route.status.model_copy(update=shown)
        self.routes.put(replace(view.route, resource_version=next(self.versions), status=status))

    @property
    def closing(self) -> set[int | str]:
        """The closing pods in the view of the route."""
        view = self.route_store.get(GAME)
        assert view is not None
        return set(view.closing)

    def scaled_reason(self, key: RouteKey = GAME) -> str | None:
        """Returns the reason of the condition Scaled."""
        current = self.routes.get(*key)
        status = None if current is None else self.statuses.of(current)
        state = None if status is None else status.conditions.get(ConditionType.SCALED)
        return None if state is None else state[1]

    def rolled_out_reason(self) -> str | None:
        """Returns the reason of the condition RolledOut."""
        current = self.routes.get(*GAME)
        status = None if current is None else self.statuses.of(current)
        state = None if status is None else status.conditions.get(ConditionType.ROLLED_OUT)
        return None if state is None else state[1]

    def bind(self, user: str, index: int, key: RouteKey = GAME) -> None:
        self.links.put(link(next(self.versions), user, key, pod=index))

    def leave(self, user: str, key: RouteKey = GAME) -> None:
        self.links.delete(key, f"{key.name}.{user}", next(self.versions))


@asynccontextmanager
async def planning(environment: ScaledEnvironment) -> AsyncIterator[None]:
    """Plans meanwhile."""
    environment.disruptions.start()
    await eventually(lambda: environment.scaled_reason() or environment.rolled_out_reason())
    yield
    await environment.disruptions.stop()


async def test_pods_close_and_are_removed_after_clients_know_it() -> None:
    environment = ScaledEnvironment()
    environment.bind("alice", 2)
    async with planning(environment):
        environment.put_route(replicas=1)
        await eventually(lambda: environment.closing == {1, 2})
        view = environment.route_store.get(GAME)
        assert view is not None
        assert view.pods[1].routing_state is view.pods[2].routing_state is RoutingState.DENY_NEW_CALL
        environment.leave("alice")
        await eventually(lambda: environment.scaled_reason() == "Scaling")
        assert environment.scaled == []
        environment.store_status()
        await eventually(lambda: environment.scaled == [1])
        await eventually(lambda: environment.scaled_reason() == "Scaled")
        assert environment.closing == set()
    assert environment.recorder.recorded == ["PodClosing", "PodEmpty", "WorkloadScaled"]


async def test_users_are_moved_at_the_deadline_also_by_another_process() -> None:
    environment = ScaledEnvironment(disruption={"deadlineSeconds": 60})
    environment.bind("alice", 2)
    async with planning(environment):
        environment.put_route(replicas=2, disruption={"deadlineSeconds": 60})
        await eventually(lambda: environment.closing == {2})
        environment.store_status()
    environment.now += timedelta(seconds=60)
    environment.route_store.start_term()
    view = environment.route_store.get(GAME)
    assert view is not None
    assert view.pods[2].routing_state is RoutingState.SHUTDOWN
    assert view.lost[2].cause == "DeadlineOver"
    async with planning(environment):
        environment.leave("alice")
        await eventually(lambda: environment.scaled == [2])


async def test_the_status_of_a_restarted_operator_is_that_of_the_one_before() -> None:
    environment = ScaledEnvironment()
    stored = {"type": "Scaled", "status": "True", "reason": "Scaled", "message": "as desired"}
    condition = {**stored, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    status = StatefulRouteStatus.model_validate({"desiredReplicas": 3, "conditions": [condition]})
    known = environment.statuses.of(route(1, spec={"replicas": 3}, status=status.model_dump(by_alias=True)))
    assert known is not None
    assert known.desired_replicas == 3
    assert known.conditions == {ConditionType.SCALED: (True, "Scaled", "as desired")}
    assert environment.statuses.of(route(1, status=status.model_dump(by_alias=True))) is None


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        pytest.param(ConflictError(409, "Conflict", "modified"), "Scaled", id="the workload has changed"),
        pytest.param(UnreachableError("no answer"), "Scaled", id="the API server does not answer"),
        pytest.param(api_error(429, "TooManyRequests", "later"), "Scaled", id="the API server is busy"),
        pytest.param(api_error(403, "Forbidden", "no"), "ScaleRefused", id="a right is missing"),
        pytest.param(api_error(422, "Invalid", "no"), "ScaleRefused", id="a policy refuses it"),
    ],
)
async def test_a_write_that_fails_is_repeated(failure: ClusterError, reason: str) -> None:
    environment, reasons = ScaledEnvironment(), set[str | None]()
    environment.statuses.listen(lambda _: reasons.add(environment.scaled_reason()))
    environment.failures.append(failure)
    async with planning(environment):
        environment.put_route(replicas=5)
        await eventually(lambda: environment.scaled == [5])
        await eventually(lambda: environment.scaled_reason() == "Scaled")
    assert ("ScaleRefused" in reasons) is (reason == "ScaleRefused")


async def test_pods_of_an_older_revision_are_replaced_one_by_one() -> None:
    environment = ScaledEnvironment(rollout={}, replicas=None)
    environment.bind("alice", 1)
    for index in range(3):
        environment.pods.put(pod(next(environment.versions), index, uid=f"uid-{index}", labels={REVISION_LABEL: "v1"}))
    async with planning(environment):
        environment.roll_out()
        for index in (2, 1):
            await eventually(lambda index=index: environment.closing == {index})
            environment.store_status()
            if index == 1:
                await eventually(lambda: environment.rolled_out_reason() == "WaitingForUsers")
                environment.leave("alice")
        await eventually(lambda: environment.closing == {0})
        assert environment.evicted == ["game-2", "game-1"]
        environment.put_route(rollout={"paused": True})
        await eventually(lambda: environment.closing == set())
        environment.put_route(rollout={})
        await eventually(lambda: environment.closing == {0})
        environment.store_status()
        await eventually(lambda: environment.rolled_out_reason() == "RolledOut")
    assert environment.evicted == ["game-2", "game-1", "game-0"]
    assert environment.recorder.recorded.count("PodReplaced") == 3


@pytest.mark.parametrize(
    ("failure", "is_shown"),
    [
        pytest.param(api_error(429, "TooManyRequests", "a budget"), True, id="a PodDisruptionBudget refuses it"),
        pytest.param(api_error(403, "Forbidden", "no"), True, id="a right is missing"),
        pytest.param(api_error(409, "Conflict", "another pod"), False, id="the pod was replaced"),
        pytest.param(api_error(404, "NotFound", "gone"), False, id="the pod is gone"),
        pytest.param(UnreachableError("no answer"), False, id="the API server does not answer"),
    ],
)
async def test_an_eviction_that_fails_is_repeated(failure: ClusterError, is_shown: bool) -> None:
    environment, reasons = ScaledEnvironment(rollout={}, replicas=None), set[str | None]()
    for index in range(3):
        environment.pods.put(pod(next(environment.versions), index, uid=f"uid-{index}", labels={REVISION_LABEL: "v1"}))
    environment.statuses.listen(lambda _: reasons.add(environment.rolled_out_reason()))
    environment.failures.append(failure)
    async with planning(environment):
        environment.roll_out()
        await eventually(lambda: environment.closing == {2})
        environment.store_status()
        await eventually(lambda: environment.evicted == ["game-2"])
        await eventually(lambda: environment.closing == {1})
    assert ("EvictionRefused" in reasons) is is_shown


async def test_one_route_plans_for_a_workload_and_counts_the_links_of_all() -> None:
    environment = ScaledEnvironment()
    environment.put_route(OTHER, replicas=9, workloadRef={"name": "game"})
    environment.bind("alice", 2, OTHER)
    async with planning(environment):
        await eventually(lambda: environment.scaled_reason(OTHER) == "AnotherRouteScales")
        environment.put_route(replicas=2)
        await eventually(lambda: environment.closing == {2})
        other = environment.route_store.get(OTHER)
        assert other is not None
        assert other.pods[2].routing_state is RoutingState.DENY_NEW_CALL
        environment.leave("alice", OTHER)
        environment.store_status()
        await idle()
        assert environment.scaled == []  # the clients of the other route do not know it
        environment.store_status(OTHER)
        await eventually(lambda: environment.scaled == [2])


async def test_another_route_plans_when_the_first_is_deleted() -> None:
    environment = ScaledEnvironment()
    environment.put_route(OTHER, replicas=4, workloadRef={"name": "game"})
    async with planning(environment):
        environment.routes.delete("games", "game", next(environment.versions))
        await eventually(lambda: environment.scaled == [4])


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_pods_are_open_when_no_route_plans_any_more(is_deleted: bool) -> None:
    environment = ScaledEnvironment()
    environment.put_route(OTHER, workloadRef={"name": "game"})
    async with planning(environment):
        environment.put_route(replicas=1)
        await eventually(lambda: environment.closing == {1, 2})
        if is_deleted:
            environment.routes.delete("games", "game", next(environment.versions))
        else:
            environment.put_route()
        other = environment.route_store.get(OTHER)
        assert other is not None
        assert (other.closing, other.pods[2].routing_state) == ({}, RoutingState.READY)


async def test_pods_close_for_all_routes_in_a_new_term() -> None:
    environment = ScaledEnvironment()
    environment.put_route(OTHER, workloadRef={"name": "game"})
    environment.bind("alice", 2)
    async with planning(environment):
        environment.put_route(replicas=2)
        await eventually(lambda: environment.closing == {2})
        environment.store_status()
    environment.route_store.start_term()
    other = environment.route_store.get(OTHER)  # it does not plan, and its links are handled first
    assert other is not None
    assert (other.closing.keys(), other.pods[2].routing_state) == ({2}, RoutingState.DENY_NEW_CALL)


async def test_pods_of_another_workload_do_not_close_by_the_status_of_the_first() -> None:
    environment = ScaledEnvironment(disruption={"deadlineSeconds": 60})
    environment.workloads.put(workload(next(environment.versions), "new"))
    owner = Owner("StatefulSet", "new", "uid-of-new")
    for index in range(3):
        environment.pods.put(pod(next(environment.versions), index, name=f"new-{index}", owner=owner))
    environment.bind("alice", 2)
    async with planning(environment):
        environment.put_route(replicas=2, disruption={"deadlineSeconds": 60})
        await eventually(lambda: environment.closing == {2})
        environment.store_status()
        environment.now += timedelta(seconds=60)
        environment.put_route(replicas=3, workloadRef={"name": "new"})
        view = environment.route_store.get(GAME)
        assert view is not None
        assert (view.pods[2].pod.name, view.closing, view.lost) == ("new-2", {}, {})


async def test_a_pod_that_was_open_in_between_is_removed_after_clients_know_that_it_closes_again() -> None:
    environment = ScaledEnvironment()
    environment.bind("alice", 2)
    async with planning(environment):
        environment.put_route(replicas=2)
        await eventually(lambda: environment.closing == {2})
        environment.store_status()
        environment.put_route(replicas=3)
        await eventually(lambda: environment.closing == set())
        environment.now += timedelta(seconds=1)
        environment.put_route(replicas=2)
        await eventually(lambda: environment.closing == {2})
        environment.leave("alice")
        await eventually(lambda: environment.scaled_reason() == "Scaling")
        assert environment.scaled == []  # the status that shows it as open may be on its way
        environment.store_status()
        await eventually(lambda: environment.scaled == [2])


async def test_routes_without_planned_disruptions_are_not_planned() -> None:
    environment = ScaledEnvironment()
    environment.put_route()
    environment.disruptions.start()
    environment.bind("alice", 2)
    await idle()
    assert environment.scaled_reason() is None
    assert environment.statuses.of(cast("Any", environment.routes.get(*GAME))) is None
    await environment.disruptions.stop()


async def test_new_users_go_to_the_first_replaced_pod_of_many_pods() -> None:
    environment = ScaledEnvironment(rollout={}, replicas=None)

    def replace_pod(index: int, revision: str) -> None:
        version = next(environment.versions)
        environment.pods.put(pod(version, index, uid=f"uid-{version}", labels={REVISION_LABEL: revision}))

    def best() -> tuple[int | None, bool]:
        """Returns the index of the pod for the next user, and whether an index has chosen it."""
        view = environment.route_store.get(GAME)
        assert view is not None
        chosen = best_pod(view, environment.now)
        assert chosen is not None
        return chosen.index, view.index is not None

    fields = {"replicas": 6, "update_revision": "v2", "update_strategy": "OnDelete"}
    environment.workloads.put(workload(next(environment.versions), **fields))
    for index in range(6):
        replace_pod(index, "v1")
    assert best() == (0, True)
    replace_pod(5, "v2")
    assert best() == (5, False)
    for index in range(5):
        replace_pod(index, "v2")
    assert best() == (0, True)
