"""`kubectl drain` waits for the users of a node's pods, by the real Eviction API and disruption controller."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pykube.objects import NamespacedAPIObject, Pod

from support.independent_client import StatefulRoute
from support.kubectl import Result
from support.service import Service
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("operator", "quiet_cluster")

OCCUPIED = "statefulroute.io/occupied"
BUDGET = "game-statefulset-occupied"

#: The pod whose node is drained.
LAST = 2


class PodDisruptionBudget(NamespacedAPIObject):
    """A PodDisruptionBudget."""

    version = "policy/v1"
    kind = "PodDisruptionBudget"
    endpoint = "poddisruptionbudgets"


@pytest.fixture
def guarded(service: Service) -> Service:
    """A service with three pods that are guarded against evictions."""
    service.start(disruption={}, onPodLost={"action": "Rebind", "graceSeconds": 0})
    service.await_condition("EvictionsGuarded", "True", "EvictionsGuarded")
    return service


def occupied(service: Service) -> set[str]:
    """Returns the names of the pods with the label."""
    pods = [pod["metadata"] for pod in service.client.all(Pod, service.namespace)]
    return {pod["name"] for pod in pods if pod["labels"].get(OCCUPIED) == "true"}


def budgets(service: Service) -> dict[str, Any]:
    """Returns the specs of the budgets by name."""
    return {
        each["metadata"]["name"]: each["spec"] for each in service.client.all(PodDisruptionBudget, service.namespace)
    }


def pod_uid(service: Service) -> str:
    """Returns the uid of the pod whose node is drained."""
    return str(service.client.get(Pod, f"game-{LAST}", service.namespace)["metadata"]["uid"])


@contextmanager
def node_of(service: Service) -> Iterator[str]:
    """Yields the node of the last pod, and uncordons it at the end."""
    name = str(service.client.get(Pod, f"game-{LAST}", service.namespace)["spec"]["nodeName"])
    try:
        yield name
    finally:
        service.kubectl.run("uncordon", name).expect_success()


def drain(service: Service, node: str, seconds: int) -> Result:
    """Drains a node of the pods of the service."""
    return service.kubectl.run("drain", node, "--pod-selector=app=game", f"--timeout={seconds}s")


def await_replaced(service: Service, uid: str) -> None:
    """Waits until another pod has taken the place of the last one."""
    eventually(lambda: service.exists(Pod, f"game-{LAST}") and pod_uid(service) != uid, "the pod is created elsewhere")


def test_drain_is_refused_while_the_pod_has_users_and_passes_when_it_is_empty(guarded: Service) -> None:
    alice = guarded.link("alice", podIndex=LAST)
    guarded.await_bound(alice)
    eventually(lambda: occupied(guarded) == {f"game-{LAST}"}, "the pod is marked")
    uid = pod_uid(guarded)
    with node_of(guarded) as node:
        refused = drain(guarded, node, 2)
        assert refused.code != 0
        assert "violate the pod's disruption budget" in refused.stderr
        eventually(lambda: "closing" in guarded.pod_status(LAST), "the pod closes")
        closing = guarded.pod_status(LAST)["closing"]
        assert (closing["reason"], guarded.pod_status(LAST)["routingState"]) == ("NodeDrain", "DenyNewCall")
        for uid_of_user in ("bob", "carol", "dora"):
            bound = guarded.await_bound(guarded.link(uid_of_user))
            assert bound["podIndex"] != LAST
        assert (guarded.get(alice)["spec"]["podIndex"], pod_uid(guarded)) == (LAST, uid)
        guarded.kubectl.run("delete", "podlink", alice).expect_success()
        eventually(lambda: f"game-{LAST}" not in occupied(guarded), "the pod is empty")
        drain(guarded, node, 30).expect_success()
        await_replaced(guarded, uid)
    guarded.await_pods(3)
    eventually(lambda: "closing" not in guarded.pod_status(LAST), "the new pod is open")
    eventually(
        lambda: {"PodClosing", "PodEmpty"} <= {each["reason"] for each in guarded.events("StatefulRoute")},
        "the events are recorded",
    )


def test_users_are_moved_before_the_drain_is_forced_at_the_deadline(guarded: Service) -> None:
    guarded.edit_route(disruption={"deadlineSeconds": 4})
    alice = guarded.link("alice", podIndex=LAST)
    guarded.await_bound(alice)
    eventually(lambda: occupied(guarded) == {f"game-{LAST}"}, "the pod is marked")
    with node_of(guarded) as node:
        drain(guarded, node, 50).expect_success()
        previous = guarded.get(alice)["status"]["previous"]
        assert (previous["podIndex"], previous["cause"]) == (LAST, "DeadlineOver")
        assert guarded.get(alice)["spec"]["podIndex"] != LAST


def test_pod_of_a_node_that_is_uncordoned_takes_new_users_again(guarded: Service) -> None:
    guarded.await_bound(guarded.link("alice", podIndex=LAST))
    with node_of(guarded) as node:
        guarded.kubectl.run("cordon", node).expect_success()
        eventually(lambda: "closing" in guarded.pod_status(LAST), "the pod closes")
    guarded.await_pod(LAST, closing=None, routingState="Ready")


def test_budget_is_left_out_where_another_one_selects_the_pods(service: Service) -> None:
    selector = {"matchLabels": {"app": "game"}}
    spec = {"minAvailable": 1, "selector": selector}
    theirs = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "theirs"}, "spec": spec}
    service.kubectl.create(theirs)
    service.start(disruption={})
    service.await_condition("EvictionsGuarded", "False", "AnotherBudget")
    assert "'theirs' selects the pods as well" in service.condition("EvictionsGuarded")[2]
    assert budgets(service).keys() == {"theirs"}
    combined = {**selector, "matchExpressions": [{"key": OCCUPIED, "operator": "DoesNotExist"}]}
    service.kubectl.patch("pdb", "theirs", {"spec": {"selector": combined}}).expect_success()
    service.await_condition("EvictionsGuarded", "True", "EvictionsGuarded")
    assert budgets(service).keys() == {"theirs", BUDGET}


def test_label_and_budget_exist_only_while_the_route_configures_them(service: Service) -> None:
    service.start()
    service.await_bound(service.link("alice", podIndex=LAST))
    service.await_status(links=1)
    assert (occupied(service), budgets(service), service.condition("EvictionsGuarded")[0]) == (set(), {}, "")
    service.edit_route(disruption={})
    eventually(lambda: occupied(service) == {f"game-{LAST}"}, "the pod is marked")
    eventually(lambda: budgets(service).keys() == {BUDGET}, "the budget exists")
    assert budgets(service)[BUDGET] == {
        "maxUnavailable": 0,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": {"app": "game", OCCUPIED: "true"}},
    }
    service.edit_route(disruption=None)
    eventually(lambda: not occupied(service) and not budgets(service), "both are removed")
    service.edit_route(disruption={})
    eventually(lambda: occupied(service) and budgets(service), "both are back")
    service.kubectl.run("delete", "statefulroute", "game", "--timeout=30s").expect_success()
    assert not service.exists(StatefulRoute, "game")
    assert (occupied(service), budgets(service)) == (set(), {})
