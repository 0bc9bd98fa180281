"""Tests the value `workloadKinds`: the rights for other kinds of workloads, and the policy that restricts them."""

from collections.abc import Iterator
from typing import Any

import pytest

from chart.kinds import documents
from chart.releases import Helm
from localcluster import LocalCluster
from support.api_user import APIUser
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.waiting import eventually

RELEASE = "kinds"
KINDS = {"workloadKinds": [{"apiGroup": "example.com", "resource": "crews"}]}

DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "crews.example.com"},
    "spec": {
        "group": "example.com",
        "names": {"plural": "crews", "singular": "crew", "kind": "Crew", "listKind": "CrewList"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                "subresources": {
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
                },
            }
        ],
    },
}
CREW = {
    "apiVersion": "example.com/v1",
    "kind": "Crew",
    "metadata": {"name": "game", "annotations": {"example.com/owner": "us"}},
    "spec": {"replicas": 1},
    "status": {"replicas": 0},
    "captain": "ann",
}

#: The changes that only the policy can refuse.
REFUSED: dict[str, dict[str, Any]] = {
    "the spec": {"spec": {"replicas": 2}},
    "the status": {"status": {"replicas": 2}},
    "another field": {"captain": None},
    "another annotation": {"metadata": {"annotations": {"example.com/owner": "me"}}},
    "a label": {"metadata": {"labels": {"app": "game"}}},
    "a finalizer": {"metadata": {"finalizers": ["example.com/stay"]}},
}


@pytest.fixture(scope="module")
def operator(helm4: Helm, dedicated_cluster: LocalCluster, admin: Kubectl) -> Iterator[APIUser]:
    """The account of an operator, in a namespace with a workload of another kind."""
    with fresh_namespace(admin) as namespace:
        here = admin.within(namespace)
        rendered = documents(helm4.render(KINDS, f"--namespace={namespace}", release=RELEASE).expect_success().stdout)
        name = f"{RELEASE}-statefulroute-operator"
        objects = [
            item
            for item in rendered
            if item["metadata"]["name"] in {name, "operator-writes.statefulroute.io"}
            and item["kind"].startswith(("ServiceAccount", "ClusterRole", "ValidatingAdmission"))
        ]
        for item in (DEFINITION, *objects):
            here.create(item)
        here.run("wait", "--for=condition=Established", "--timeout=30s", "crd/crews.example.com").expect_success()
        eventually(lambda: not here.run("get", "crews.example.com").code, "crews can be listed")
        here.create(CREW)
        user = APIUser.of(dedicated_cluster.kubeconfig, namespace).as_account(name)
        # A dry run: the policy does not refuse a change that was accepted before it was in force.
        label = REFUSED["a label"]
        eventually(lambda: "denied request" in str(change(user, label, "?dryRun=All")), "the policy is in force")
        yield user
        for item in (DEFINITION, *objects):
            here.run("delete", item["kind"], item["metadata"]["name"]).expect_success()


def change(user: APIUser, patch: dict[str, Any], parameters: str = "") -> str | None:
    """Returns the message that refuses a change of the workload; None if it is accepted."""
    path = f"/apis/example.com/v1/namespaces/{user.namespace}/crews/game"
    return user.patch(path + parameters, patch).error_message


def test_operator_reads_the_scale_and_writes_its_annotations(operator: APIUser) -> None:
    path = f"/apis/example.com/v1/namespaces/{operator.namespace}/crews/game"
    assert operator.request("GET", f"{path}/scale").expect_success()["spec"]["replicas"] == 1
    assert change(operator, {"metadata": {"annotations": {"statefulroute.io/workload-state": "High"}}}) is None
    assert change(operator, {"metadata": {"annotations": {"statefulroute.io/workload-state": None}}}) is None


@pytest.mark.parametrize("patch", REFUSED.values(), ids=REFUSED)
def test_operator_may_change_nothing_else_of_the_workload(operator: APIUser, patch: dict[str, Any]) -> None:
    assert "ValidatingAdmissionPolicy 'operator-writes.statefulroute.io'" in str(change(operator, patch))


@pytest.mark.parametrize(
    ("annotates", "plans", "expected"),
    [
        (
            True,
            True,
            {
                "operator": {"crews/scale": ["get", "patch"], "crews": ["get", "list", "patch", "watch"]},
                "release": {"crews": ["get", "patch"]},
            },
        ),
        (
            False,
            False,
            {"operator": {"crews/scale": ["get"], "crews": ["list", "watch"]}, "release": {"crews": ["get"]}},
        ),
    ],
)
@pytest.mark.parametrize("namespaces", [[], ["play"]], ids=["all namespaces", "some namespaces"])
def test_roles_grant_what_is_used_of_the_kinds(
    helm4: Helm, annotates: bool, plans: bool, expected: dict[str, dict[str, list[str]]], namespaces: list[str]
) -> None:
    values = {**KINDS, "writeAnnotations": annotates, "planDisruptions": plans, "watchNamespaces": namespaces}
    granted: dict[str, dict[str, list[str]]] = {}
    for item in documents(helm4.render(values).expect_success().stdout):
        for rule in item["rules"] if item["kind"] in {"ClusterRole", "Role"} else ():
            if rule["apiGroups"] == ["example.com"]:
                verbs = granted.setdefault(item["metadata"]["name"].removeprefix("statefulroute-"), {})
                for resource in rule["resources"]:
                    verbs[resource] = sorted([*verbs.get(resource, ()), *rule["verbs"]])
    assert granted == expected
