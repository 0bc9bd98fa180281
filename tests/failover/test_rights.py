"""The account of an operator has exactly the rights that it uses: no request is refused, and no right is unused."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pykube.objects import Deployment, NamespacedAPIObject, Pod, ReplicaSet, StatefulSet

from failover.pair import LEASE, SHORT_TIMES, OperatorPair, Replica
from statefulroute.api.group import API_VERSION
from statefulroute.api.rbac import OPERATOR_MARK
from support.api_user import APIUser
from support.audit import AuditLog, Entry
from support.independent_client import StatefulRoute
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.rbac import RBAC_FOLDER, apply_lease_role, create_account
from support.service import Service
from support.waiting import eventually

#: A right: an API group, a resource there, and a verb.
Right = tuple[str, str, str]

TENANT = "tenant"

ROLE = "statefulroute-operator"

OTHER_KINDS = (Deployment, ReplicaSet)


def rights(role: Mapping[str, Any]) -> set[Right]:
    """Returns the rights that a Role or a ClusterRole grants."""
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(entries: list[Entry]) -> set[Right]:
    """Returns the rights that requests needed, whatever their result."""
    return {(entry.group, entry.resource, entry.verb) for entry in entries}


def refused(entries: list[Entry], *namespaces: str | None) -> list[Entry]:
    """Returns the requests that were refused because of a missing right.

    Excludes those in the namespaces of other tests, which may be terminating: the API server refuses new objects there.
    """
    return [entry for entry in entries if entry.code == 403 and entry.namespace in {"", *namespaces}]


def exercise(game: Service) -> None:
    """Makes an operator do everything that it can do."""
    game.start(statePeriodSeconds=1, workloadPeriodSeconds=1)
    bind_expire_and_move(game)
    game.edit_route(disruption={})
    eventually(lambda: game.condition("EvictionsGuarded")[0], "its pods are guarded, or it says why they are not")
    scale(game)
    roll_out(game)
    annotate_loads(game, StatefulSet)
    for kind in OTHER_KINDS:
        other = Service(game.kubectl, game.client, kind.kind.lower())
        other.create_workload(kind.kind)
        other.create_route(workloadRef={"kind": kind.kind}, statePeriodSeconds=1, workloadPeriodSeconds=1, slots=2)
        other.await_pods(3)
        scale(other)
        annotate_loads(other, kind)


def scale(service: Service) -> None:
    """Makes an operator scale a workload."""
    pods = len(service.route_status()["pods"]) + 1
    service.edit_route(replicas=pods)
    service.await_pods(pods)


def roll_out(game: Service) -> None:
    """Makes an operator evict a pod, which has lost its users while it was closing."""
    game.client.patch(
        StatefulSet, "game", game.namespace, {"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}}
    )
    game.edit_route(rollout={"partition": 2})
    game.await_condition("RolledOut", "True")
    user = game.link("erika", podIndex=2)
    game.await_bound(user)
    metadata = {"annotations": {"example.com/version": "2"}}
    game.client.patch(StatefulSet, "game", game.namespace, {"spec": {"template": {"metadata": metadata}}})
    game.await_closing(2, "Rollout")
    game.kubectl.run("delete", "podlink", user).expect_success()
    eventually(lambda: "PodReplaced" in [event["reason"] for event in game.events("StatefulRoute")], "it is replaced")
    game.await_condition("RolledOut", "True")
    game.await_pods(3)


def bind_expire_and_move(game: Service) -> None:
    pinned, chosen = game.link("alice", podIndex=2), game.link("bob")
    game.await_bound(pinned)
    game.await_bound(chosen)
    game.await_deleted(game.link("dora", podIndex=0, ttlSeconds=1))
    game.scale(2)
    game.await_moved(pinned, previous_pod=2)
    eventually(lambda: len(game.route_status()["pods"]) == 2, "the third pod is gone")
    eventually(
        lambda: {"Bound", "Expired", "PodLost"} <= {event["reason"] for event in game.events()},
        "all events are recorded",
    )


def annotate_loads(service: Service, kind: type[NamespacedAPIObject]) -> None:
    """Makes an operator annotate pods and their workload with loads, and remove the annotations with the route."""
    pods = [pod["name"] for pod in service.route_status()["pods"]]
    for pod in pods:
        service.report(pod, 4, 4)
    service.await_annotations(kind, service.name, workload_state="High", workload_load="4")
    for pod in pods:
        service.await_annotations(Pod, pod, weighted_load="4")
    service.kubectl.run("delete", "statefulroute", service.name, "--timeout=30s").expect_success()
    service.await_annotations(kind, service.name, workload_state=None)
    for pod in pods:
        service.await_annotations(Pod, pod, weighted_load=None)
    assert not service.exists(StatefulRoute, service.name)


def test_account_of_the_chart_has_exactly_the_rights_that_two_operators_use(
    pair: OperatorPair, game: Service, admin: Kubectl
) -> None:
    leader, standby = pair.start(SHORT_TIMES)
    exercise(game)
    leader.operator.stop()
    standby.await_leading()
    standby.operator.stop()
    granted = rights(admin.get_json("clusterrole", LEASE)) | rights(pair.admin.get_json("role", f"{LEASE}-lease"))
    entries = leader.entries() + standby.entries()
    assert granted - used(entries) == {OPERATOR_MARK}
    assert refused(entries, game.namespace, pair.admin.namespace) == []
    assert not leader.errors() + standby.errors()


@pytest.mark.parametrize("resource", ["pods/game-0", "statefulsets/game"])
def test_account_of_the_chart_may_change_only_its_annotations(pair: OperatorPair, game: Service, resource: str) -> None:
    game.create_pods(1)
    eventually(game.pod_ids, "the pod exists")
    operator = APIUser.of(next(iter(pair.kubeconfigs.values())), game.namespace)
    assert_restricted(operator, f"/{'api/v1' if resource.startswith('pods') else 'apis/apps/v1'}", resource)


def assert_restricted(operator: APIUser, api: str, resource: str) -> None:
    """Asserts that an account of an operator may change nothing of an object but its annotations."""
    path = f"{api}/namespaces/{operator.namespace}/{resource}"
    container = {"containers": [{"name": "room", "image": "evil.invalid/room"}]}
    spec = container if resource.startswith("pods") else {"template": {"spec": container}}
    name = "weighted-load" if resource.startswith("pods") else "workload-load"
    for change in ({"spec": spec}, {"metadata": {"labels": {"app": "evil"}}}):
        response = operator.patch(path, change, "strategic")
        assert "ValidatingAdmissionPolicy 'operator-writes.statefulroute.io'" in str(response.error_message)
    operator.patch(path, {"metadata": {"annotations": {f"statefulroute.io/{name}": "1"}}}).expect_success()


# An operator of a tenant, which serves one namespace and runs in another.


@pytest.fixture
def home(admin: Kubectl) -> Iterator[Kubectl]:
    """A kubectl in the namespace where the tenant's operator runs."""
    with fresh_namespace(admin) as name:
        yield admin.within(name)


@pytest.fixture
def tenant(home: Kubectl, game: Service, audit: AuditLog, tmp_path: Path) -> Iterator[Replica]:
    """The tenant's operator, not started yet, with rights in the service's namespace and for its Lease only."""
    with create_account(home, TENANT, apply_lease_role(home)):
        game.kubectl.run("apply", "--filename", str(RBAC_FOLDER / "operator-in-namespace.yaml")).expect_success()
        subject = f"--serviceaccount={home.namespace}:{TENANT}"
        game.kubectl.run("create", "rolebinding", TENANT, f"--role={ROLE}", subject).expect_success()
        pod = home.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": TENANT},
                "spec": {"serviceAccountName": TENANT, "containers": [{"name": "operator", "image": "x.invalid/x"}]},
            }
        )
        user = APIUser.of(home.kubeconfig, str(home.namespace)).as_account(TENANT, pod)
        links = f"/apis/{API_VERSION}/namespaces/{game.namespace}/podlinks"
        lease = f"/apis/coordination.k8s.io/v1/namespaces/{home.namespace}/leases/{LEASE}"
        eventually(
            lambda: {user.request("GET", path).code for path in (links, lease)} == {200, 404}, "it has its rights"
        )
        options = (f"--watch-namespace={game.namespace}", f"--lease-namespace={home.namespace}")
        kubeconfig = user.write_kubeconfig(tmp_path / "tenant.kubeconfig")
        replica = Replica(TENANT, kubeconfig, tmp_path / "tenant.log", audit, *options)
        yield replica
        if replica.operator.is_running:
            replica.operator.kill()


def test_role_for_a_namespace_has_exactly_the_rights_that_an_operator_uses_there(
    tenant: Replica, game: Service, home: Kubectl
) -> None:
    tenant.operator.start()
    exercise(game)
    tenant.operator.stop()
    roles = game.kubectl.get_json("role", ROLE), home.get_json("role", f"{LEASE}-lease")
    assert set().union(*map(rights, roles)) - used(tenant.entries()) == {OPERATOR_MARK}
    assert refused(tenant.entries(), game.namespace, home.namespace) == []
    assert not tenant.errors()


@pytest.mark.parametrize("resource", ["pods/game-0", "statefulsets/game"])
def test_operator_of_a_namespace_may_change_only_its_annotations(
    tenant: Replica, game: Service, resource: str, tmp_path: Path
) -> None:
    del tenant  # its account is all that is needed
    game.create_pods(1)
    eventually(game.pod_ids, "the pod exists")
    operator = APIUser.of(tmp_path / "tenant.kubeconfig", game.namespace)
    assert_restricted(operator, f"/{'api/v1' if resource.startswith('pods') else 'apis/apps/v1'}", resource)


def test_operator_of_a_namespace_sends_no_request_for_others(
    tenant: Replica, game: Service, home: Kubectl, new_game: Callable[[], Service]
) -> None:
    other = new_game()
    other.create_pods()
    other.create_route()
    unserved = other.link("alice")
    tenant.operator.start()
    game.start()
    game.await_bound(game.link("alice"))
    other.edit_route(routingState="DenyNewCall")
    other.link("bob")
    game.await_bound(game.link("bob"))
    tenant.operator.stop()
    requests = tenant.entries(lambda entry: not entry.resource.startswith("/"))  # all but discovery
    assert {entry.namespace for entry in requests} == {game.namespace, home.namespace}
    assert {entry.resource for entry in requests if entry.namespace == home.namespace} == {"leases"}
    assert "status" not in other.get(unserved)
    assert not {"status", "finalizers"} & {*other.route(), *other.route()["metadata"]}
