"""An operator that leads again: nothing that it found when it last led counts, because it has not followed it since."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from statefulroute.api.annotations import POD_DELETION_COST
from statefulroute.api.vocabulary import LinkPhase, LinkReason, RoutingState, WorkloadState
from statefulroute.domain.link import LinkStatus
from statefulroute.domain.load import LoadReport
from statefulroute.domain.pod import PodAnnotations
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
from unit.controllers.timer_environment import HANDLED, TimerEnvironment, running, shorten_delays


@asynccontextmanager
async def leading(environment: Environment) -> AsyncIterator[None]:
    """One term, in which the links of the route are reconciled."""
    environment.controller.start()
    async with running_route(environment):
        yield
    await environment.controller.stop()


def bound(version: int, pod_name: str, **more: Any) -> Any:
    """Alice's link, which another operator has bound to a pod."""
    index = more.get("pod")
    status = LinkStatus(
        LinkPhase.BOUND,
        LinkReason.BOUND,
        f"bound to pod {pod_name!r}",
        pod_index=index if isinstance(index, int) else None,
        pod_name=pod_name,
        host=f"{pod_name}.game.games.svc" if isinstance(index, int) else None,
    )
    return link(version, "alice", status=status, observed_generation=1, **more)


async def test_grace_period_does_not_count_from_an_absence_in_an_earlier_term() -> None:
    environment = Environment().with_pods(0, 1)
    environment.links.put(bound(100, "game-1", pod=1))
    async with leading(environment):
        environment.pods.delete("games", "game-1", 50)
        await idle()
    environment.now += timedelta(minutes=10)
    environment.pods.put(pod(51, 1))
    environment.pods.delete("games", "game-1", 52)
    async with leading(environment):
        assert environment.writer.written == []


async def test_pod_that_was_not_ready_in_an_earlier_term_is_not_lost_at_once() -> None:
    environment = Environment().with_pods(0)
    environment.links.put(bound(100, "game-1", pod=1))
    environment.pods.put(pod(20, 1))
    async with leading(environment):
        environment.pods.put(pod(50, 1, is_ready=False))
        await idle()
    environment.now += timedelta(minutes=10)
    environment.pods.put(pod(51, 1))
    environment.pods.put(pod(52, 1, is_ready=False))
    async with leading(environment):
        assert environment.writer.written == []


async def test_routing_state_that_a_pod_reported_in_an_earlier_term_does_not_count() -> None:
    environment = Environment()
    environment.routes.put(route(10, spec={"load": {"source": "HTTP", "http": {"port": 80}}}))
    environment.workloads.put(workload(11))
    for index in (0, 1):
        environment.pods.put(pod(12 + index, index, uid=f"uid-{index}"))
    async with leading(environment):
        (second,) = (each for each in environment.pods.in_partition("games").values() if each.index == 1)
        environment.route_store.observe_load(GAME, second, LoadReport(1, 0, environment.now), RoutingState.SHUTDOWN)
    environment.links.put(bound(100, "game-1", pod=1))
    async with leading(environment):
        assert environment.writer.written == []


async def test_deployment_that_was_read_in_an_earlier_term_is_read_again_before_anything_is_decided() -> None:
    environment = await Environment().with_deployment("game-a")
    async with leading(environment):
        pass
    environment.scales.put(50, selector="app=new", uid="uid-of-the-new-one")
    environment.pods.delete("games", "game-a", 51)
    environment.pods.put(deployment_pod(52, "game-b", labels={"app": "new"}))
    environment.links.put(bound(100, "game-b", pod="game-b"))
    async with leading(environment):
        assert environment.writer.written == []
        await environment.refresh_workload()
        await idle()
        assert environment.writer.written == []


async def test_annotations_that_another_route_has_written_since_are_not_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten_delays(monkeypatch)
    environment = TimerEnvironment()
    environment.routes.put(route(10, spec={"workloadRef": {"kind": "Deployment"}}, **HANDLED))
    environment.scales.put(11)
    async with running(environment):
        await eventually(lambda: environment.scheduler.has_polled(GAME))
    environment.edit(30, 2, workloadRef={"kind": "Deployment", "name": "other"})
    environment.scales.put(31, "other")
    environment.pods.put(deployment_pod(32, annotations=PodAnnotations(deletion_cost="7")))
    async with running(environment):
        await eventually(lambda: environment.scheduler.has_polled(GAME))
    assert not [change for _, change in environment.pod_writer.written if POD_DELETION_COST in change]


async def test_assessment_of_an_earlier_term_does_not_replace_that_of_another_operator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten_delays(monkeypatch)
    environment = TimerEnvironment()
    environment.routes.put(route(10, **HANDLED))
    environment.workloads.put(workload(11))
    environment.pods.put(pod(12, load_report=LoadReport(4, 4, environment.now)))
    async with running(environment):
        await eventually(lambda: environment.last_status.workload_state is WorkloadState.HIGH)
    environment.routes.put(route(1000, status={"observedGeneration": 1, "workloadState": "Idle", "workloadLoad": 0}))
    assert environment.assessments.of(environment.route).state is WorkloadState.IDLE
