"""A rollout replaces the pods of a StatefulSet one by one, when their users have left."""

from typing import Any

import pytest
from pykube.objects import Pod, StatefulSet

from support.independent_client import PodLink
from support.link_recorder import LinkRecorder
from support.service import NOT_READY, Service
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator")

ON_DELETE = {"updateStrategy": {"type": "OnDelete"}}


def start(service: Service, pods: int, *, rollout: dict[str, Any] | None = None, **route: Any) -> None:
    """Creates pods that are replaced when they are deleted, and a route that rolls out."""
    service.create_pods(pods, **ON_DELETE)
    service.create_route(rollout=rollout or {}, **route)
    service.await_pods(pods)
    service.await_condition("RolledOut", "True", "RolledOut")


def change_template(service: Service, version: str, **annotations: str | None) -> None:
    """Changes the template of the pods."""
    metadata = {"annotations": {"example.com/version": version, **annotations}}
    change = {"spec": {"template": {"metadata": metadata}}}
    service.client.patch(StatefulSet, service.name, service.namespace, change)


def version_of(service: Service, pod: int) -> str | None:
    """Returns the version of the template that a pod has; None if it does not exist, or has the first one."""
    pods = {each["metadata"]["name"]: each["metadata"] for each in service.client.all(Pod, service.namespace)}
    metadata = pods.get(service.pod_name(pod), {})
    return metadata.get("annotations", {}).get("example.com/version")


def await_replaced(service: Service, pod: int, version: str) -> None:
    """Waits until a pod has a version of the template."""
    eventually(lambda: version_of(service, pod) == version, f"{pod} has the version {version}")


def leave(service: Service, *links: str) -> None:
    """Deletes links: their users leave."""
    for link in links:
        service.client.delete(PodLink, link, service.namespace)


def test_pods_are_replaced_one_by_one_when_their_users_have_left(service: Service, recorder: LinkRecorder) -> None:
    start(service, 3, disruption={})  # evictions of pods with links are refused
    links = service.link_each({f"user-{pod}": {"podIndex": pod} for pod in range(3)})
    service.await_all_bound(3)
    change_template(service, "2")
    service.await_closing(2, "Rollout")
    service.await_condition("RolledOut", "False", "WaitingForUsers")
    assert "closing" not in service.pod_status(1)
    leave(service, links[2])
    await_replaced(service, 2, "2")
    service.await_closing(1, "Rollout")
    assert service.pod_status(2)["revision"] != service.pod_status(1)["revision"]
    new = service.link("new")
    assert service.await_bound(new)["podIndex"] == 2
    leave(service, links[1])
    await_replaced(service, 1, "2")
    service.await_closing(0, "Rollout")
    leave(service, links[0])
    service.await_condition("RolledOut", "True", "RolledOut")
    assert [version_of(service, pod) for pod in range(3)] == ["2", "2", "2"]
    assert [each for each in recorder.all_pods().values() if len({pod for pod in each if pod is not None}) > 1] == []
    reasons = [event["reason"] for event in service.events("StatefulRoute")]
    assert reasons.count("PodReplaced") == 3


def test_a_revision_that_does_not_get_ready_replaces_no_second_pod(service: Service) -> None:
    start(service, 3)
    change_template(service, "2", **NOT_READY)
    await_replaced(service, 2, "2")
    service.await_condition("RolledOut", "False", "NewRevisionNotReady")
    assert [version_of(service, pod) for pod in range(3)] == [None, None, "2"]
    assert service.await_bound(service.link("alice"))["podIndex"] == 0
    change_template(service, "3", **dict.fromkeys(NOT_READY))
    service.await_condition("RolledOut", "False", "WaitingForUsers")
    assert [version_of(service, pod) for pod in range(3)] == [None, "3", "3"]


def test_an_eviction_that_a_budget_refuses_is_shown_and_repeated(service: Service) -> None:
    start(service, 2)
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "all"}}
    spec = {"minAvailable": "100%", "selector": {"matchLabels": {"app": "game"}}}
    service.kubectl.create({**budget, "spec": spec})
    change_template(service, "2")
    service.await_condition("RolledOut", "False", "EvictionRefused")
    assert "the eviction of game-1 was refused: 429 TooManyRequests: " in service.condition("RolledOut")[2]
    service.kubectl.run("delete", "poddisruptionbudget", "all").expect_success()
    service.await_condition("RolledOut", "True", "RolledOut")
    assert [version_of(service, pod) for pod in range(2)] == ["2", "2"]


def test_a_surge_lets_the_only_pod_be_replaced(service: Service, recorder: LinkRecorder) -> None:
    start(service, 1, replicas=1, rollout={"surge": 1})
    link = service.link("alice")
    service.await_bound(link)
    change_template(service, "2")
    service.await_closing(0, "Rollout")
    new = service.link("new")
    assert service.await_bound(new)["podIndex"] == 1
    leave(service, link)
    await_replaced(service, 0, "2")
    service.await_closing(1)
    assert service.await_bound(service.link("newer"))["podIndex"] == 0
    leave(service, new)
    service.await_condition("Scaled", "True", "Scaled", "the StatefulSet has 1 pod as desired")
    service.await_condition("RolledOut", "True", "RolledOut")
    assert recorder.pods(new) == [None, 1]


def test_a_stateful_set_that_replaces_its_pods_itself_is_reported(service: Service) -> None:
    service.create_pods(1)
    service.create_route(rollout={})
    service.await_condition("RolledOut", "False", "UpdateStrategyNotOnDelete")
