"""Tests what the operator's ServiceAccount may change of pods and workloads, beyond what RBAC can express."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from localcluster import LocalCluster
from support.api_user import APIUser
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.objects import stateful_route
from support.rbac import create_account, operator_role, release_role
from support.waiting import eventually

POLICY = "operator-writes.statefulroute.io"
BUDGET_POLICY = "operator-budgets.statefulroute.io"

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"

#: The annotations that the operator writes, by resource.
OCCUPIED = {"statefulroute.io/occupied": "true"}
OF_PODS = {"statefulroute.io/weighted-load": "2.5", DELETION_COST: "7"}
OF_WORKLOADS = {
    "statefulroute.io/workload-state": "High",
    "statefulroute.io/workload-load": "4",
    "statefulroute.io/workload-time": "2026-01-01T00:00:00Z",
}
#: The annotations that others have written on every object of the tests.
OF_OTHERS = {"example.com/owner": "us", "statefulroute.io/routing-state": "DenyNewCall"}

ANNOTATIONS = (
    "the operator may change only these annotations: statefulroute.io/weighted-load, "
    "controller.kubernetes.io/pod-deletion-cost of pods; statefulroute.io/workload-state, "
    "statefulroute.io/workload-load, statefulroute.io/workload-time of workloads"
)
LABELS = "the operator may change only these labels: statefulroute.io/occupied of pods"
METADATA = "of the metadata of pods and workloads the operator may change only its own annotations and labels"
FIELDS = "the operator may change only the metadata of pods and workloads"

WORKLOADS = {"StatefulSet": "statefulsets", "Deployment": "deployments", "ReplicaSet": "replicasets"}


#: A role with every right on links and routes, and the right to patch workloads.
WILDCARD_ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "routes"},
    "rules": [
        {"apiGroups": ["statefulroute.io"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": ["apps"], "resources": [*WORKLOADS.values()], "verbs": ["patch"]},
    ],
}


@dataclass(frozen=True)
class Users:
    """A namespace with a pod and a workload of each kind, and the users who change them.

    Attributes:
        administrator: the user who created everything.
        operator: the account with the operator's role.
        release: the account with the role of `statefulroute release`.
        others: the accounts with other roles, too, by name.
    """

    administrator: APIUser
    operator: APIUser
    release: APIUser
    others: Mapping[str, APIUser]

    def path(self, resource: str) -> str:
        """Returns the path of the object of a resource."""
        group = "api/v1" if resource == "pods" else "apis/apps/v1"
        return f"/{group}/namespaces/{self.administrator.namespace}/{resource}/game"


def annotated(annotations: Mapping[str, str | None] | None) -> dict[str, Any]:
    """Returns a change of annotations."""
    return {"metadata": {"annotations": annotations}}


def metadata() -> dict[str, Any]:
    """Returns the metadata of each object; no workload selects the pod."""
    return {"name": "game", "labels": {"team": "games"}, "annotations": OF_OTHERS}


def template() -> dict[str, Any]:
    """Returns a pod's metadata and spec."""
    return {
        "metadata": {"labels": {"app": "game"}},
        "spec": {"containers": [{"name": "room", "image": "room.invalid/room"}]},
    }


def workload(kind: str) -> dict[str, Any]:
    """Returns a workload without pods."""
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "game"}}, "template": template()}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata(), "spec": spec}


def denied(resource: str, message: str) -> str:
    """Returns the API server's response to a change that the policy refuses."""
    name = resource if resource == "pods" else f"{resource}.apps"
    return (
        f'{name} "game" is forbidden: '
        f"ValidatingAdmissionPolicy '{POLICY}' with binding '{POLICY}' denied request: {message}"
    )


def labelled(labels: Mapping[str, str | None] | None) -> dict[str, Any]:
    """Returns a change of labels."""
    return {"metadata": {"labels": labels}}


def other_role(name: str, verbs: list[str]) -> dict[str, Any]:
    """Returns a Role that marks an account as an operator, and allows it more than to patch pods and workloads."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": name},
        "rules": [
            {"apiGroups": ["policy.statefulroute.io"], "resources": ["operatorwrites"], "verbs": ["use"]},
            {"apiGroups": ["", "apps"], "resources": ["pods", *WORKLOADS.values()], "verbs": verbs},
        ],
    }


@pytest.fixture(scope="module")
def users(installed: Kubectl, cluster: LocalCluster) -> Iterator[Users]:
    if installed.run("get", "--raw", "/apis/rbac.authorization.k8s.io/v1").code:
        pytest.skip("this cluster has no RBAC")
    with ExitStack() as stack:
        namespace = stack.enter_context(fresh_namespace(installed))
        here = installed.within(namespace)
        for role in (other_role("deploys", ["create", "patch"]), other_role("edits", ["update", "patch"])):
            here.create(role)
        here.create(WILDCARD_ROLE)
        operator = stack.enter_context(operator_role(installed, f"operator-{namespace}"))
        release = stack.enter_context(release_role(installed, f"release-{namespace}"))
        for account in (
            create_account(here, "operator", operator, cluster_wide=True),
            create_account(here, "release", release, cluster_wide=True),
            create_account(here, "deployer", "Role/deploys"),
            create_account(here, "editor", "Role/edits"),
            create_account(here, "router", "Role/routes"),
            create_account(here, "chief", "ClusterRole/cluster-admin", cluster_wide=True),
        ):
            stack.enter_context(account)
        administrator = APIUser.of(cluster.kubeconfig, namespace)
        administrator.request("POST", "statefulroutes", stateful_route()).expect_success()
        pod = {"apiVersion": "v1", "kind": "Pod", **template(), "metadata": metadata()}
        administrator.request("POST", "pods", pod).expect_success()
        for kind, resource in WORKLOADS.items():
            path = f"/apis/apps/v1/namespaces/{namespace}/{resource}"
            administrator.request("POST", path, workload(kind)).expect_success()
        others = {name: administrator.as_account(name) for name in ("deployer", "editor", "chief", "router")}
        created = Users(
            administrator,
            administrator.as_account("operator"),
            administrator.as_account("release"),
            {**others, "administrator": administrator},
        )
        _await_in_force(created)
        yield created


def _await_in_force(users: Users) -> None:
    """Waits until all roles and the policy are in force."""
    change = {"metadata": {"labels": {"team": "chats"}}}
    pod, deployment = (f"{users.path(resource)}?dryRun=All" for resource in ("pods", "deployments"))
    for name, user in users.others.items():
        eventually(lambda who=user: not who.patch(deployment, change).error_message, f"the {name} has its rights")
    for user in (users.operator, users.release):
        eventually(
            lambda who=user: who.patch(pod, change).error_message == denied("pods", LABELS), "the policy is in force"
        )


# What the operator writes.


@pytest.mark.parametrize("who", ["operator", "release"])
@pytest.mark.parametrize("resource", ["pods", *WORKLOADS.values()])
def test_operator_writes_and_removes_its_annotations(users: Users, who: str, resource: str) -> None:
    user: APIUser = getattr(users, who)
    own = OF_PODS if resource == "pods" else OF_WORKLOADS
    written = user.patch(users.path(resource), annotated(own)).expect_success()
    assert written["metadata"]["annotations"].items() >= {**OF_OTHERS, **own}.items()
    changed = user.patch(users.path(resource), annotated(dict.fromkeys(own, "0"))).expect_success()
    assert changed["metadata"]["annotations"].items() >= dict.fromkeys(own, "0").items()
    removed = user.patch(users.path(resource), annotated(dict.fromkeys(own))).expect_success()
    assert removed["metadata"]["annotations"].keys().isdisjoint(own)


@pytest.mark.parametrize("who", ["operator", "release"])
def test_operator_marks_occupied_pods_and_removes_the_mark(users: Users, who: str) -> None:
    user: APIUser = getattr(users, who)
    marked = user.patch(users.path("pods"), labelled(OCCUPIED)).expect_success()
    assert marked["metadata"]["labels"].items() >= {"team": "games", **OCCUPIED}.items()
    removed = user.patch(users.path("pods"), labelled(dict.fromkeys(OCCUPIED))).expect_success()
    assert removed["metadata"]["labels"].keys().isdisjoint(OCCUPIED)


@pytest.mark.parametrize("patch", ["merge", "strategic", "apply"])
def test_operator_writes_with_any_kind_of_patch(users: Users, patch: str) -> None:
    change = {"apiVersion": "v1", "kind": "Pod", **annotated(OF_PODS)}
    options = "?dryRun=All&fieldManager=operator" if patch == "apply" else "?dryRun=All"
    users.operator.patch(f"{users.path('pods')}{options}", change, patch).expect_success()


def test_operator_annotates_an_object_with_thousands_of_annotations(users: Users) -> None:
    many = {f"example.com/{number:04}": "x" * 80 for number in range(2000)}
    path = users.path("deployments")
    users.administrator.patch(path, annotated(many)).expect_success()
    users.operator.patch(path, annotated(OF_WORKLOADS)).expect_success()
    users.administrator.patch(path, annotated(dict.fromkeys([*many, *OF_WORKLOADS]))).expect_success()


# What it may not write.

OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "7d3fba28-0000-4000-8000-000000000000"}
IMAGE = {"containers": [{"name": "room", "image": "evil.invalid/room"}]}

#: Changes that the policy refuses for pods and workloads alike.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another annotation is added": (annotated({"example.com/more": "1"}), ANNOTATIONS),
    "another annotation is changed": (annotated({"example.com/owner": "me"}), ANNOTATIONS),
    "another annotation is removed": (annotated({"example.com/owner": None}), ANNOTATIONS),
    "the routing state is changed": (annotated({"statefulroute.io/routing-state": "Shutdown"}), ANNOTATIONS),
    "all annotations are removed": (annotated(None), ANNOTATIONS),
    "a label is added": ({"metadata": {"labels": {"role": "main"}}}, LABELS),
    "a label is changed": ({"metadata": {"labels": {"team": "chats"}}}, LABELS),
    "a label is removed": ({"metadata": {"labels": {"team": None}}}, LABELS),
    "the labels are removed": ({"metadata": {"labels": None}}, LABELS),
    "a finalizer": ({"metadata": {"finalizers": ["example.com/stay"]}}, METADATA),
    "an owner": ({"metadata": {"ownerReferences": [OWNER]}}, METADATA),
    "a generateName": ({"metadata": {"generateName": "game-"}}, METADATA),
}
REFUSED_OF_PODS: dict[str, tuple[dict[str, Any], str]] = {
    "an annotation of workloads": (annotated(OF_WORKLOADS), ANNOTATIONS),
    "the image": ({"spec": IMAGE}, FIELDS),
    "the image and an own annotation": ({"spec": IMAGE, **annotated(OF_PODS)}, FIELDS),
    "a deadline": ({"spec": {"activeDeadlineSeconds": 1}}, FIELDS),
}
REFUSED_OF_WORKLOADS: dict[str, tuple[dict[str, Any], str]] = {
    "the label of pods": (labelled(OCCUPIED), LABELS),
    "an annotation of pods": (annotated(OF_PODS), ANNOTATIONS),
    "the number of replicas": ({"spec": {"replicas": 1}}, FIELDS),
    "the image": ({"spec": {"template": {"spec": IMAGE}}}, FIELDS),
    "the image and an own annotation": ({"spec": {"template": {"spec": IMAGE}}, **annotated(OF_WORKLOADS)}, FIELDS),
    "the account": ({"spec": {"template": {"spec": {"serviceAccountName": "chief"}}}}, FIELDS),
    "an annotation of the pods": ({"spec": {"template": annotated(OF_PODS)}}, FIELDS),
}
CASES = [
    *(("pods", name, *case) for name, case in (REFUSED | REFUSED_OF_PODS).items()),
    *(
        (resource, name, *case)
        for resource in WORKLOADS.values()
        for name, case in (REFUSED | REFUSED_OF_WORKLOADS).items()
    ),
]


@pytest.mark.parametrize(
    ("resource", "change", "message"),
    [(resource, change, message) for resource, _, change, message in CASES],
    ids=[f"{resource}: {name}" for resource, name, _, _ in CASES],
)
def test_operator_may_change_nothing_else_of_pods_and_workloads(
    users: Users, resource: str, change: dict[str, Any], message: str
) -> None:
    response = users.operator.patch(users.path(resource), change, "strategic")
    assert (response.code, response.error_message) == (403, denied(resource, message))


@pytest.mark.parametrize("resource", ["pods", *WORKLOADS.values()])
def test_release_job_may_not_change_the_image_either(users: Users, resource: str) -> None:
    change = {"spec": IMAGE if resource == "pods" else {"template": {"spec": IMAGE}}}
    response = users.release.patch(users.path(resource), change, "strategic")
    assert (response.code, response.error_message) == (403, denied(resource, FIELDS))


@pytest.mark.parametrize(
    ("patch", "change", "message"),
    [
        ("json", [{"op": "remove", "path": "/metadata/annotations/example.com~1owner"}], ANNOTATIONS),
        ("json", [{"op": "replace", "path": "/spec/containers/0/image", "value": "evil.invalid/room"}], FIELDS),
        ("merge", annotated({"example.com/owner": None}), ANNOTATIONS),
        ("merge", {"spec": {"activeDeadlineSeconds": 1}}, FIELDS),
        ("apply", {"apiVersion": "v1", "kind": "Pod", **annotated({"example.com/owner": "me"})}, ANNOTATIONS),
        ("apply", {"apiVersion": "v1", "kind": "Pod", "spec": IMAGE}, FIELDS),
    ],
)
def test_no_kind_of_patch_bypasses_the_policy(users: Users, patch: str, change: Any, message: str) -> None:
    options = "?fieldManager=operator&force=true" if patch == "apply" else ""
    response = users.operator.patch(f"{users.path('pods')}{options}", change, patch)
    assert response.error_message == denied("pods", message)


@pytest.mark.parametrize("resource", ["pods/status", "pods/resize", "pods/ephemeralcontainers"])
def test_operator_may_not_patch_a_subresource_of_pods(users: Users, resource: str) -> None:
    subresource = resource.partition("/")[2]
    response = users.operator.patch(f"{users.path('pods')}/{subresource}", {}, "strategic")
    assert response.code == 403
    assert f'cannot patch resource "{resource}"' in str(response.error_message)


# What it does to let planned disruptions wait for users.

OWN_ROUTE = {"apiVersion": "statefulroute.io/v1alpha1", "kind": "StatefulRoute", "name": "game"}


def budget(name: str, *owners: dict[str, Any]) -> dict[str, Any]:
    """Returns a PodDisruptionBudget."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "ownerReferences": list(owners)},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "nothing"}}},
    }


@pytest.fixture
def own_budget(users: Users) -> dict[str, Any]:
    """A PodDisruptionBudget that belongs to a route."""
    route = users.administrator.request("GET", "statefulroutes/game").expect_success()
    return budget("own", {**OWN_ROUTE, "uid": route["metadata"]["uid"]})


def budgets_path(users: Users) -> str:
    """Returns the path of PodDisruptionBudgets."""
    return f"/apis/policy/v1/namespaces/{users.administrator.namespace}/poddisruptionbudgets"


@pytest.mark.parametrize("who", ["operator", "release"])
def test_budgets_of_routes_are_created_read_and_deleted(users: Users, own_budget: dict[str, Any], who: str) -> None:
    path, user = budgets_path(users), getattr(users, who)
    users.operator.request("POST", path, own_budget).expect_success()
    assert [each["metadata"]["name"] for each in user.request("GET", path).expect_success()["items"]] == ["own"]
    user.request("DELETE", f"{path}/own").expect_success()


def test_operator_may_neither_create_nor_delete_budgets_of_others(users: Users) -> None:
    path = budgets_path(users)
    message = (
        f"ValidatingAdmissionPolicy '{BUDGET_POLICY}' with binding '{BUDGET_POLICY}' denied request: the operator may "
        "create and delete only PodDisruptionBudgets that a StatefulRoute owns"
    )
    for owners in ((), (OWNER,), ({**OWN_ROUTE, "apiVersion": "example.com/v1", "uid": OWNER["uid"]},)):
        refused = users.operator.request("POST", path, budget("theirs", *owners))
        assert refused.code == 403
        assert message in str(refused.error_message)
    users.administrator.request("POST", path, budget("theirs")).expect_success()
    for user in (users.operator, users.release):
        refused = user.request("DELETE", f"{path}/theirs")
        assert refused.code == 403
        assert message in str(refused.error_message)
    users.others["chief"].request("DELETE", f"{path}/theirs").expect_success()


def test_operator_may_not_change_a_budget(users: Users, own_budget: dict[str, Any]) -> None:
    path = budgets_path(users)
    users.operator.request("POST", path, own_budget).expect_success()
    assert "cannot patch resource" in str(users.operator.patch(f"{path}/own", {}).error_message)
    users.operator.request("DELETE", f"{path}/own").expect_success()


@pytest.mark.parametrize("resource", WORKLOADS.values())
def test_operator_scales_workloads_and_the_release_job_does_not(users: Users, resource: str) -> None:
    path, change = f"{users.path(resource)}/scale?dryRun=All", {"spec": {"replicas": 2}}
    assert users.operator.patch(path, change).expect_success()["spec"]["replicas"] == 2
    assert f'cannot patch resource "{resource}/scale"' in str(users.release.patch(path, change).error_message)


def test_operator_evicts_pods_and_does_not_delete_them(users: Users) -> None:
    path, name = users.path("pods"), users.path("pods").rpartition("/")[2]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    users.operator.request("POST", f"{path}/eviction?dryRun=All", eviction).expect_success()
    refused = users.release.request("POST", f"{path}/eviction?dryRun=All", eviction)
    assert 'cannot create resource "pods/eviction"' in str(refused.error_message)
    assert 'cannot delete resource "pods"' in str(users.operator.request("DELETE", path).error_message)


# Everybody else.


@pytest.mark.parametrize("who", ["administrator", "chief", "deployer", "editor"])
@pytest.mark.parametrize("resource", ["pods", *WORKLOADS.values()])
def test_other_accounts_are_not_restricted(users: Users, who: str, resource: str) -> None:
    change = {"metadata": {"labels": {"team": "chats"}, "annotations": {"example.com/owner": "me"}}}
    users.others[who].patch(f"{users.path(resource)}?dryRun=All", change).expect_success()


@pytest.mark.parametrize("resource", WORKLOADS.values())
def test_account_with_all_rights_on_routes_is_no_operator(users: Users, resource: str) -> None:
    change = {"metadata": {"labels": {"team": "chats"}}}
    users.others["router"].patch(f"{users.path(resource)}?dryRun=All", change).expect_success()
