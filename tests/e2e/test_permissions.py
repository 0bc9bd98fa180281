"""The operator needs no other rights than those of its role."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pykube.objects import Deployment, NamespacedAPIObject, Pod, ReplicaSet, StatefulSet

from support.independent_client import StatefulRoute
from support.kubectl import Kubectl
from support.operator_process import OperatorProcess, OperatorSlot
from support.service import Service
from support.waiting import eventually

ROLE = Path(__file__).parents[2] / "deploy" / "rbac" / "operator.yaml"
NAME = "statefulroute-operator"


@pytest.fixture(scope="module")
def account(installed: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of a ServiceAccount with the operator's role and no other."""
    if installed.run("get", "--raw", "/apis/rbac.authorization.k8s.io/v1").code:
        pytest.skip("this cluster has no RBAC")
    here = installed.within("default")
    here.run("create", "serviceaccount", NAME).expect_success()
    installed.run("apply", "--filename", str(ROLE)).expect_success()
    installed.run(
        "create", "clusterrolebinding", NAME, f"--clusterrole={NAME}", f"--serviceaccount=default:{NAME}"
    ).expect_success()
    token = here.run("create", "token", NAME).expect_success().stdout
    kubeconfig = tmp_path_factory.mktemp("account") / "kubeconfig"
    known = installed.run("config", "view", "--raw", "--minify", "--flatten", "--output=json").expect_success().object
    user = known["users"][0]["name"]
    # kubectl writes the file, and keeps it from others.
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(json.dumps({**known, "users": [{"name": user, "user": {"token": token}}]}))
    yield kubeconfig
    installed.run("delete", "clusterrolebinding", NAME).expect_success()
    installed.run("delete", "--filename", str(ROLE)).expect_success()
    here.run("delete", "serviceaccount", NAME).expect_success()


@pytest.fixture(scope="module")
def operator(account: Path, operator_slot: OperatorSlot) -> Iterator[OperatorProcess]:
    """An operator with the rights of that account."""
    with operator_slot.acquire(account) as process:
        yield process.start()
        process.stop()


def test_account_has_no_other_rights(account: Path, installed: Kubectl) -> None:
    restricted = Kubectl(installed.program, account, installed.cache, "default")
    for allowed in (
        "create podlinks",
        "patch podlinks",
        "patch podlinks --subresource=status",
        "delete podlinks",
        "watch pods",
        "patch pods",
        "patch statefulroutes",
        "patch statefulsets.apps",
        "get deployments.apps --subresource=scale",
        "get replicasets.apps --subresource=scale",
        "patch statefulsets.apps --subresource=scale",
        "patch deployments.apps --subresource=scale",
        "create pods --subresource=eviction",
        "create poddisruptionbudgets.policy",
        "delete poddisruptionbudgets.policy",
    ):
        assert restricted.run("auth", "can-i", *allowed.split()).stdout == "yes\n", allowed
    for forbidden in (
        "delete pods",
        "update pods",
        "get secrets",
        "delete statefulsets.apps",
        "patch poddisruptionbudgets.policy",
        "get replicationcontrollers --subresource=scale",
    ):
        assert restricted.run("auth", "can-i", *forbidden.split()).stdout == "no\n", forbidden


def test_role_is_sufficient_for_all_work_on_links_and_routes(operator: OperatorProcess, game: Service) -> None:
    pinned, chosen = game.link("alice", podIndex=2, ttlSeconds=300), game.link("bob")
    game.await_bound(pinned)
    game.await_bound(chosen)
    game.await_status(links=2, routablePods=3)
    game.scale(4)
    game.await_pods(4)
    game.edit_route(routingState="DenyNewCall")
    game.await_status(observedGeneration=2, bestPodIndex=None)
    game.await_link(game.link("carol"), "Pending", "NoAvailablePod")
    game.edit_route(routingState="Ready")
    game.await_bound("game.carol")
    game.await_deleted(game.link("dora", podIndex=0, ttlSeconds=1))
    game.scale(2)
    eventually(lambda: game.get(pinned)["spec"]["podIndex"] != 2, "it is moved")
    eventually(
        lambda: {"Bound", "Expired", "PodLost"} <= {event["reason"] for event in game.events()},
        "all events are recorded",
    )
    assert game.route()["metadata"]["finalizers"] == ["statefulroute.io/operator"]
    game.kubectl.run("delete", "statefulroute", "game", "--timeout=30s").expect_success()
    eventually(lambda: not game.exists(StatefulRoute, "game"), "the route is gone")
    game.await_link(pinned, "Pending", "RouteNotFound")
    assert "forbidden" not in operator.log_text.lower()
    assert operator.errors() == []


@pytest.mark.parametrize("kind", [StatefulSet, Deployment, ReplicaSet], ids=lambda kind: kind.kind)
def test_role_is_sufficient_to_write_and_remove_annotations(
    kind: type[NamespacedAPIObject], operator: OperatorProcess, service: Service
) -> None:
    service.create_workload(kind.kind)
    service.create_route(workloadRef={"kind": kind.kind}, statePeriodSeconds=1, workloadPeriodSeconds=1)
    service.await_pods(3)
    for pod in service.route_status()["pods"]:
        service.report(pod["name"], 4, 4)
    service.await_annotations(kind, "game", workload_state="High", workload_load="4")
    for pod in service.route_status()["pods"]:
        service.await_annotations(Pod, pod["name"], weighted_load="4")
    service.await_bound(service.link("alice"))
    service.edit_route(workloadThresholds={"overloaded": 4})
    eventually(
        lambda: "Overloaded" in [event["reason"] for event in service.events("StatefulRoute")],
        "the event is recorded",
    )
    service.kubectl.run("delete", "statefulroute", "game", "--timeout=30s").expect_success()
    service.await_annotations(kind, "game", workload_state=None)
    for pod in service.client.all(Pod, service.namespace):
        service.await_annotations(Pod, pod["metadata"]["name"], weighted_load=None)
    assert "forbidden" not in operator.log_text.lower()


@pytest.mark.usefixtures("operator")
def test_missing_right_for_another_kind_is_reported_and_takes_effect_when_granted(
    service: Service, installed: Kubectl
) -> None:
    controller = {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": "game"},
        "spec": {"replicas": 2, "selector": {"app": "game"}, "template": service.pod_template()},
    }
    service.kubectl.create(controller)
    service.create_route(workloadRef={"apiVersion": "v1", "kind": "ReplicationController"})
    why = (
        "the operator may not get replicationcontrollers/scale in the core group: "
        "allow it in a ClusterRole that is bound to the operator"
    )
    service.await_condition("WorkloadFound", "False", "WorkloadForbidden", why)
    assert service.condition("Ready") == ("False", "WorkloadForbidden", why)
    waiting = service.link("alice")
    service.await_link(waiting, "Pending", "WorkloadNotFound")
    more, given = f"{NAME}-more", "--resource=replicationcontrollers/scale,replicationcontrollers"
    installed.run("create", "clusterrole", more, "--verb=get,patch", given).expect_success()
    account = f"--serviceaccount=default:{NAME}"
    installed.run("create", "clusterrolebinding", more, f"--clusterrole={more}", account).expect_success()
    try:
        service.await_pods(2)
        service.await_bound(waiting)
    finally:
        installed.run("delete", "clusterrolebinding,clusterrole", more).expect_success()
