"""Which pods belong to a route, while labels and owners change."""

from typing import Any

import pytest

from statefulroute.api.vocabulary import ServiceState
from statefulroute.domain.keys import PodKey
from statefulroute.domain.load import LoadReport
from statefulroute.domain.pod import Pod
from unit.controllers.environment import OWNER, deployment_pod
from unit.controllers.watched_environment import WatchedEnvironment


@pytest.fixture
async def environment() -> WatchedEnvironment:
    environment = WatchedEnvironment()
    await environment.with_deployment("game-a", "game-b")
    assert list(environment.view.pods) == ["game-a", "game-b"]
    environment.calls.clear()
    return environment


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
async def test_pod_belongs_to_the_workload_that_selects_its_labels(
    environment: WatchedEnvironment, change: Pod, keys: list[PodKey]
) -> None:
    assert environment.notifications(lambda: environment.pods.put(change)) == 1
    assert list(environment.view.pods) == keys


async def test_pod_that_gets_the_label_later_belongs_from_then_on(environment: WatchedEnvironment) -> None:
    assert environment.notifications(lambda: environment.pods.put(deployment_pod(50, "game-c", labels={}))) == 0
    assert environment.notifications(lambda: environment.pods.put(deployment_pod(51, "game-c"))) == 1
    assert list(environment.view.pods) == ["game-a", "game-b", "game-c"]


async def test_pod_that_loses_its_label_is_forgotten_with_its_load(environment: WatchedEnvironment) -> None:
    environment.pods.put(deployment_pod(50, "game-b", load_report=LoadReport(1, 1, environment.now)))
    assert set(environment.view.loads) == {"game-b"}
    environment.pods.put(deployment_pod(51, "game-b", labels={}, load_report=LoadReport(1, 1, environment.now)))
    assert environment.view.loads == {}


async def test_pods_of_other_namespaces_are_ignored(environment: WatchedEnvironment) -> None:
    assert environment.notifications(lambda: environment.pods.put(deployment_pod(50, "game-c", namespace="other"))) == 0
    assert list(environment.view.pods) == ["game-a", "game-b"]


@pytest.mark.parametrize(
    ("change", "notifications"),
    [({}, 0), ({"replicas": 5}, 1), ({"selector": "app=chess"}, 1), ({"uid": "another"}, 1)],
    ids=["nothing", "replicas", "selector", "another uid"],
)
async def test_workload_that_is_read_again_notifies_watchers_if_a_decision_may_change(
    environment: WatchedEnvironment, change: dict[str, Any], notifications: int
) -> None:
    environment.scales.put(50, **change)
    await environment.refresh_workload()
    assert len(environment.calls) == notifications
    assert environment.view.workload is not None
    assert environment.view.workload.resource_version == 50


async def test_workload_that_is_deleted_and_created_again_notifies_watchers(environment: WatchedEnvironment) -> None:
    del environment.scales.scales["game"]
    await environment.refresh_workload()
    assert environment.view.missing_workload is not None
    assert environment.view.missing_workload.message == "Deployment 'game' does not exist in namespace 'games'"
    environment.scales.put(60)
    await environment.refresh_workload()
    assert list(environment.view.pods) == ["game-a", "game-b"]
    assert len(environment.calls) == 2


async def test_stateful_set_owns_its_pods_by_its_uid() -> None:
    environment = WatchedEnvironment()
    environment.with_pods(0)
    assert list(environment.view.pods) == [0]
    environment.put_pod(1, owner=None, labels={"app": "game"})
    assert list(environment.view.pods) == [0]
    environment.put_pod(1, owner=OWNER)
    assert list(environment.view.pods) == [0, 1]
