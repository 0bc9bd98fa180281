"""Routes with autoscaling are scaled by their links: with few writes, also after faults, and against other scalers."""

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from statefulroute.api.vocabulary import ConditionType
from statefulroute.cluster.errors import ClusterError, ConflictError, UnreachableError, api_error
from statefulroute.cluster.writes import RouteWriter
from statefulroute.controllers.disruption import controller as controller_module
from statefulroute.controllers.disruption import plan_writer
from statefulroute.controllers.disruption.controller import DisruptionController
from statefulroute.controllers.monitoring.disruptions import DisruptionMetrics
from statefulroute.domain.route import Route
from unit.controllers.environment import GAME, eventually, idle, link, route
from unit.controllers.test_disruption import ScaledEnvironment, planning

AUTOSCALING = {"maxReplicas": 10, "linksPerPod": 2, "scaleDownAfterSeconds": 3600}


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_SETTLE_SECONDS", "_DEMAND_SECONDS"):
        monkeypatch.setattr(controller_module, name, 0.005)
    for name in ("_RETRY_SECONDS", "_REFUSED_SECONDS", "_UNSEEN_SECONDS"):
        monkeypatch.setattr(plan_writer, name, 0.005)


class AutoscaledEnvironment(ScaledEnvironment):
    """A StatefulSet of three pods, with two links for each pod."""

    def __init__(self, **autoscaling: Any) -> None:
        self.written: list[int] = []
        """The values of `spec.replicas` that were written."""
        self.route_failures: list[ClusterError] = []
        super().__init__(replicas=None, autoscaling=AUTOSCALING | autoscaling)

    def new_process(self) -> DisruptionController:
        controller = super().new_process()
        controller._plan_writer._route_writer = cast("RouteWriter", self)  # noqa: SLF001 - all else is that of the environment
        return controller

    async def set_replicas(self, item: Route, replicas: int) -> None:
        """Sets `spec.replicas` of the route, as a RouteWriter."""
        assert item.key == GAME
        if self.route_failures:
            raise self.route_failures.pop(0)
        self.written.append(replicas)
        self.edit_replicas(replicas)
        await asyncio.sleep(0)

    def edit_replicas(self, replicas: int) -> None:
        """Changes `spec.replicas`, as any client."""
        version, current = next(self.versions), self.routes.get(*GAME)
        assert current is not None
        spec = current.spec.model_copy(update={"replicas": replicas})
        self.routes.put(replace(current, resource_version=version, generation=version, spec=spec))

    def wait(self, *users: str) -> None:
        """Creates links of users that wait."""
        for user in users:
            self.links.put(link(next(self.versions), user))

    def replicas(self) -> int:
        """Returns the number of pods of the workload."""
        current = self.workloads.get("games", "game")
        assert current is not None
        return current.replicas

    def message(self) -> str:
        """Returns the message of the condition Scaled."""
        current = self.routes.get(*GAME)
        status = None if current is None else self.statuses.of(current)
        return status.conditions[ConditionType.SCALED][2] if status and status.conditions else ""


async def test_present_number_of_pods_is_kept_at_the_start() -> None:
    environment = AutoscaledEnvironment()
    async with planning(environment):
        await eventually(lambda: environment.written == [3])
        await idle()
    assert environment.scaled == []


async def test_users_that_wait_add_pods_with_one_write_for_all() -> None:
    environment = AutoscaledEnvironment()
    async with planning(environment):
        await eventually(lambda: environment.written == [3])
        environment.wait(*map(str, range(9)))
        await eventually(lambda: environment.scaled == [5])
        assert environment.written == [3, 5]
        environment.bind("0", 0)  # it does not wait any more, and is on a pod
        await asyncio.sleep(0.03)
    assert (environment.written, environment.scaled) == ([3, 5], [5])


async def test_fewer_users_remove_pods_after_the_period() -> None:
    environment = AutoscaledEnvironment(scaleDownAfterSeconds=0)
    environment.bind("alice", 0)
    async with planning(environment):
        await eventually(lambda: environment.closing == {1, 2})
        environment.store_status()
        await eventually(lambda: environment.replicas() == 1)
    assert environment.written[-1] == 1


async def test_recommended_number_is_written_again_after_a_conflict_and_an_outage() -> None:
    environment = AutoscaledEnvironment()
    environment.route_failures = [ConflictError(409, "Conflict", "modified"), UnreachableError("gone")]
    environment.wait(*map(str, range(9)))
    async with planning(environment):
        await eventually(lambda: environment.scaled == [5])
    assert environment.written == [5]


async def test_operator_that_may_not_set_the_replicas_says_so() -> None:
    environment = AutoscaledEnvironment()
    environment.route_failures = [api_error(403, "Forbidden", "not allowed here")] * 1000
    async with planning(environment):
        await eventually(lambda: environment.scaled_reason() == "ScaleRefused")
        assert "not allowed here" in environment.message()


async def test_another_scaler_of_the_route_is_named_and_left_alone_for_a_while() -> None:
    environment = AutoscaledEnvironment(minReplicas=5)
    async with planning(environment):
        for number in range(1, 4):
            await eventually(lambda number=number: environment.written == [5] * number)  # type: ignore[misc]
            environment.edit_replicas(3)
        await eventually(lambda: environment.scaled_reason() == "AnotherScaler")
        assert environment.message().startswith("something else sets spec.replicas of the route")
        await asyncio.sleep(0.05)
        assert environment.written == [5] * 3


async def test_another_scaler_of_the_workload_is_named_and_left_alone_for_a_while() -> None:
    environment = AutoscaledEnvironment(minReplicas=5)
    async with planning(environment):
        for number in range(1, 4):
            await eventually(lambda number=number: environment.scaled == [5] * number)  # type: ignore[misc]
            current = environment.workloads.get("games", "game")
            assert current is not None
            environment.workloads.put(replace(current, resource_version=next(environment.versions), replicas=3))
        await eventually(lambda: environment.scaled_reason() == "AnotherScaler")
        assert environment.message().endswith("let it scale StatefulRoute 'game' instead")
        await asyncio.sleep(0.05)
        assert environment.scaled == [5] * 3


async def test_nothing_is_planned_for_links_of_a_route_without_autoscaling() -> None:
    environment = ScaledEnvironment()
    async with planning(environment):
        await asyncio.sleep(0.03)
        turns = environment.disruptions._turns  # noqa: SLF001 - nothing else shows that nothing is planned
        environment.links.put(link(next(environment.versions), "alice", pod=0))
        environment.links.put(link(next(environment.versions), "bob"))
        assert not environment.disruptions._due_soon  # noqa: SLF001
        assert GAME not in turns._running  # noqa: SLF001


def metrics_of(environment: ScaledEnvironment) -> DisruptionMetrics:
    """Returns the metrics of a process that leads."""
    autoscaler = environment.disruptions.autoscaler
    return DisruptionMetrics(
        environment.routes, environment.route_store, environment.statuses, autoscaler, lambda: True
    )


async def test_metrics_state_what_is_desired_what_closes_and_what_was_decided() -> None:
    environment = AutoscaledEnvironment(scaleDownAfterSeconds=0)
    environment.bind("alice", 0)
    environment.bind("bob", 2)
    metrics = DisruptionMetrics(
        environment.routes,
        environment.route_store,
        environment.statuses,
        environment.disruptions.autoscaler,
        lambda: True,
    )

    def value(name: str, **labels: str) -> float:
        samples = [sample for family in metrics.collect() for sample in family.samples]
        return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())

    async with planning(environment):
        await eventually(lambda: environment.closing == {1, 2})
        assert value("statefulroute_desired_replicas") == 1
        assert value("statefulroute_closing_pods", reason="ScaleDown") == 2
        assert value("statefulroute_overdue_pods") == 0
        assert value("statefulroute_disruption_condition", type="Scaled", reason="WaitingForUsers") == 1
        assert value("statefulroute_autoscaling_decisions_total", direction="down") == 1
        environment.wait("carol", "dave", "erin")
        await eventually(lambda: value("statefulroute_autoscaling_decisions_total", direction="up") == 1)


async def test_routes_without_planned_disruptions_have_no_such_metrics() -> None:
    environment = AutoscaledEnvironment()
    environment.routes.put(route(next(environment.versions), spec={}, generation=5_000))
    metrics = DisruptionMetrics(
        environment.routes,
        environment.route_store,
        environment.statuses,
        environment.disruptions.autoscaler,
        lambda: True,
    )
    assert [sample for family in metrics.collect() for sample in family.samples] == []
