"""Tests what a started cluster does with pods."""

from typing import Any

import pytest

from local.cluster_process import Kubectl, eventually
from localcluster import LocalCluster

# The first start on a machine builds the programs.
pytestmark = pytest.mark.timeout(1500)


def pod(name: str, **annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "annotations": {f"localcluster/{key}": value for key, value in annotations.items()},
        },
        "spec": {"containers": [{"name": "main", "image": "example"}]},
    }


def stateful_set(name: str, replicas: int) -> list[dict[str, Any]]:
    labels = {"app": name}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"clusterIP": "None", "selector": labels, "ports": [{"port": 80}]},
    }
    spec = {"containers": [{"name": "main", "image": "example"}]}
    workload = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "serviceName": name,
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
    return [service, workload]


def test_every_node_is_ready_when_the_cluster_is_ready(cluster: LocalCluster) -> None:
    nodes = Kubectl(cluster).list("nodes")
    assert [node["metadata"]["name"] for node in nodes] == ["node-0", "node-1"]
    assert all("taints" not in node["spec"] for node in nodes)


def test_cluster_reports_that_it_runs_pods_and_its_provider(cluster: LocalCluster) -> None:
    assert cluster.has_controllers
    assert cluster.provider == "builtin"
    assert cluster.server.startswith("https://127.0.0.1:")


def test_version_is_that_of_the_go_module(cluster: LocalCluster) -> None:
    assert f'"gitVersion": "{cluster.version}"' in Kubectl(cluster)("get", "--raw", "/version")


def test_stateful_set_becomes_ready_with_an_address_for_each_pod(kubectl: Kubectl) -> None:
    kubectl.apply(*stateful_set("web", 3))
    eventually(lambda: kubectl.get("statefulset", "web")["status"].get("readyReplicas") == 3)
    addresses = {item["status"]["podIP"] for item in kubectl.list("pods")}
    assert len(addresses) == 3
    slices = kubectl.list("endpointslices")
    assert {address for each in slices for end in each["endpoints"] for address in end["addresses"]} == addresses


def test_deleted_pod_of_a_stateful_set_returns_under_its_name(kubectl: Kubectl) -> None:
    kubectl.apply(*stateful_set("web", 1))
    eventually(lambda: kubectl.has_ready("web-0"))
    first = kubectl.get("pod", "web-0")["metadata"]["uid"]
    kubectl("delete", "pod", "web-0")
    eventually(lambda: kubectl.has_ready("web-0"))
    assert kubectl.get("pod", "web-0")["metadata"]["uid"] != first


def test_held_pod_stays_pending_without_an_address_until_it_is_released(kubectl: Kubectl) -> None:
    kubectl.apply(pod("held", hold="yes"), pod("free"))
    eventually(lambda: kubectl.has_ready("free"))
    held = kubectl.get("pod", "held")["status"]
    assert held["phase"] == "Pending"
    assert "podIP" not in held
    kubectl("annotate", "pod", "held", "localcluster/hold-")
    eventually(lambda: kubectl.has_ready("held"))


def test_unready_pod_runs_and_becomes_ready_when_the_annotation_is_removed(kubectl: Kubectl) -> None:
    kubectl.apply(pod("failing", ready="false"))
    eventually(lambda: kubectl.get("pod", "failing")["status"]["phase"] == "Running")
    assert not kubectl.has_ready("failing")
    kubectl("annotate", "pod", "failing", "localcluster/ready-")
    eventually(lambda: kubectl.has_ready("failing"))


def test_ready_pod_becomes_unready_by_annotation_and_keeps_its_address(kubectl: Kubectl) -> None:
    kubectl.apply(pod("wavering"))
    eventually(lambda: kubectl.has_ready("wavering"))
    before = kubectl.get("pod", "wavering")["status"]
    kubectl("annotate", "pod", "wavering", "localcluster/ready=false")
    eventually(lambda: not kubectl.has_ready("wavering"))
    after = kubectl.get("pod", "wavering")["status"]
    assert (after["podIP"], after["phase"]) == (before["podIP"], "Running")
    assert [each["ready"] for each in after["containerStatuses"]] == [False]
    assert after["containerStatuses"][0]["state"] == before["containerStatuses"][0]["state"]
    kubectl("annotate", "pod", "wavering", "localcluster/ready=true", "--overwrite")
    eventually(lambda: kubectl.has_ready("wavering"))


def test_deleted_pod_is_gone(kubectl: Kubectl) -> None:
    kubectl.apply(pod("short-lived"))
    eventually(lambda: kubectl.has_ready("short-lived"))
    kubectl("delete", "pod", "short-lived")
    assert not kubectl.has("pod", "short-lived")


def test_validating_admission_policy_refuses_an_object(kubectl: Kubectl) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    validation = {"expression": "object.metadata.name != 'forbidden'", "message": "not that name"}
    api = "admissionregistration.k8s.io/v1"
    kubectl.apply(
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "names"},
            "spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": [validation]},
        },
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": "names"},
            "spec": {"policyName": "names", "validationActions": ["Deny"]},
        },
    )
    try:
        attempt = ("create", "configmap", "forbidden", "--dry-run=server")
        eventually(lambda: "not that name" in kubectl.run(*attempt).stderr)
    finally:
        kubectl("delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", "names")


def test_node_must_not_give_itself_a_restricted_label(cluster: LocalCluster) -> None:
    as_node = ("--as=system:node:node-0", "--as-group=system:nodes")
    refusal = Kubectl(cluster).run("label", "node", "node-0", "node-restriction.kubernetes.io/some=label", *as_node)
    assert "is not allowed to modify labels: node-restriction.kubernetes.io/some" in refusal.stderr
