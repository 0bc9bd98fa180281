"""Which pods are a route's own, as labels and owners come and go."""

from typing import Any

import pytest

from statefulroute.api.vocabulary import ServiceState
from statefulroute.domain.keys import PodKey
from statefulroute.domain.load import LoadReport
from statefulroute.domain.pod import Pod
from unit.controllers.environment import OWNER, deployment_pod
from unit.controllers.watched_environment import WatchedEnvironment


@pytest.fixture
async def world() -> WatchedEnvironment:
    world = WatchedEnvironment()
    await world.with_deployment("game-a", "game-b")
    assert list(world.view.pods) == ["game-a", "game-b"]
    world.calls.clear()
    return world


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        (deployment_pod(50, "game-c"), ["game-a", "game-b", "game-c"]),
        (deployment_pod(50, "game-b", labels={"app": "chess"}), ["game-a"]),
        (deployment_pod(50, "game-b", labels={}), ["game-a"]),
        (deployment_pod(50, "game-b", service_state=ServiceState.NOT_READY), ["game-a", "game-b"]),
        (deployment_pod(50, "game-b", labels={"app": "game", "colour": "red"}), ["game-a", "game-b"]),
    ],
    ids=["a new pod", "another label", "no label", "not ready", "one label more"],
)
async def test_a_pod_belongs_to_the_workload_whose_labels_it_has(
    world: WatchedEnvironment, change: Pod, keys: list[PodKey]
) -> None:
    assert world.notifications(lambda: world.pods.put(change)) == 1
    assert list(world.view.pods) == keys


async def test_a_pod_that_gets_the_label_later_belongs_from_then(world: WatchedEnvironment) -> None:
    assert world.notifications(lambda: world.pods.put(deployment_pod(50, "game-c", labels={}))) == 0
    assert world.notifications(lambda: world.pods.put(deployment_pod(51, "game-c"))) == 1
    assert list(world.view.pods) == ["game-a", "game-b", "game-c"]


async def test_a_pod_that_loses_its_label_is_forgotten_with_its_load(world: WatchedEnvironment) -> None:
    world.pods.put(deployment_pod(50, "game-b", load_report=LoadReport(1, 1, world.now)))
    assert set(world.view.loads) == {"game-b"}
    world.pods.put(deployment_pod(51, "game-b", labels={}, load_report=LoadReport(1, 1, world.now)))
    assert world.view.loads == {}


async def test_pods_of_other_namespaces_are_passed_over(world: WatchedEnvironment) -> None:
    assert world.notifications(lambda: world.pods.put(deployment_pod(50, "game-c", namespace="other"))) == 0
    assert list(world.view.pods) == ["game-a", "game-b"]


@pytest.mark.parametrize(
    ("change", "told"),
    [({}, 0), ({"replicas": 5}, 1), ({"selector": "app=chess"}, 1), ({"uid": "another"}, 1)],
    ids=["nothing", "replicas", "selector", "made anew"],
)
async def test_a_workload_that_is_read_anew_is_told_where_a_decision_may_change(
    world: WatchedEnvironment, change: dict[str, Any], told: int
) -> None:
    world.scales.put(50, **change)
    await world.refresh_workload()
    assert len(world.calls) == told
    assert world.view.workload is not None
    assert world.view.workload.resource_version == 50


async def test_a_workload_that_is_gone_and_comes_back_is_told(world: WatchedEnvironment) -> None:
    del world.scales.scales["game"]
    await world.refresh_workload()
    assert world.view.missing_workload is not None
    assert world.view.missing_workload.message == "Deployment 'game' does not exist in namespace 'games'"
    world.scales.put(60)
    await world.refresh_workload()
    assert list(world.view.pods) == ["game-a", "game-b"]
    assert len(world.calls) == 2


async def test_a_stateful_set_owns_its_pods_by_its_uid() -> None:
    world = WatchedEnvironment()
    world.with_pods(0)
    assert list(world.view.pods) == [0]
    world.put_pod(1, owner=None, labels={"app": "game"})
    assert list(world.view.pods) == [0]
    world.put_pod(1, owner=OWNER)
    assert list(world.view.pods) == [0, 1]
