"""The cluster's nodes: objects that kwok keeps Ready, large enough for any test."""

from typing import Any

CAPACITY = {"cpu": "256", "memory": "1Ti", "ephemeral-storage": "1Ti", "pods": "10000"}


def manifest(number: int) -> dict[str, Any]:
    """Returns the node with this number, by kwok's conventions."""
    name = f"node-{number}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake", "node.alpha.kubernetes.io/ttl": "0"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "node-role.kubernetes.io/worker": "",
                "topology.kubernetes.io/region": "local",
                "topology.kubernetes.io/zone": f"local-{number}",
                "type": "kwok",
            },
        },
        "status": {"allocatable": CAPACITY, "capacity": CAPACITY},
    }


def is_ready(node: dict[str, Any]) -> bool:
    """Returns whether pods can be scheduled there: the node is Ready, and its initial taint is gone."""
    conditions = node.get("status", {}).get("conditions", [])
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    return ready and not node.get("spec", {}).get("taints")
