"""Which nodes count as drained, and the label of occupied pods."""

import json
from typing import Any

import pytest

from statefulroute.cluster.codec import NODES, PODS
from unit.cluster.objects import metadata, pod

UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
AUTOSCALER = {"key": "ToBeDeletedByClusterAutoscaler", "value": "1700000000", "effect": "NoSchedule"}
KARPENTER = {"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}
OLDER_KARPENTER = {"key": "karpenter.sh/disruption", "value": "disrupting", "effect": "NoSchedule"}
CANDIDATE = {"key": "DeletionCandidateOfClusterAutoscaler", "value": "1700000000", "effect": "PreferNoSchedule"}
RESERVED = {"key": "team", "value": "games", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("spec", "is_drained"),
    [
        (None, False),
        ({}, False),
        ({"unschedulable": False, "taints": None}, False),
        ({"unschedulable": True}, True),
        ({"taints": [RESERVED, UNSCHEDULABLE]}, True),
        ({"taints": [AUTOSCALER]}, True),
        ({"taints": [KARPENTER]}, True),
        ({"taints": [OLDER_KARPENTER]}, True),
        ({"taints": [CANDIDATE, RESERVED]}, False),
    ],
)
def test_node_is_drained_by_its_spec_and_taints(spec: dict[str, Any] | None, is_drained: bool) -> None:
    body: dict[str, Any] = {"metadata": metadata("node-1"), "status": {}}
    node = NODES.decode(json.dumps(body if spec is None else {**body, "spec": spec}).encode())
    assert node.is_drained is is_drained


@pytest.mark.parametrize("is_marked", [True, False])
def test_label_of_occupied_pods_is_none_of_the_labels(is_marked: bool) -> None:
    labels = {"app": "game", **({"statefulroute.io/occupied": "true"} if is_marked else {})}
    decoded = PODS.decode(json.dumps(pod("game-2", labels=labels)).encode())
    assert (decoded.labels, decoded.is_marked_occupied) == ({"app": "game"}, is_marked)
    assert (
        decoded.decision_inputs
        == PODS.decode(json.dumps(pod("game-2", labels={"app": "game"})).encode()).decision_inputs
    )
