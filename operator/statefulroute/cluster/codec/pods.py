"""Decodes pods, also as endpoints of clients, and nodes."""

from collections.abc import Mapping

import msgspec

from statefulroute.api.annotations import OCCUPIED_LABEL, POD_DELETION_COST, ROUTING_STATE, WEIGHTED_LOAD
from statefulroute.api.vocabulary import RoutingState
from statefulroute.cluster.codec.objects import (
    EMPTY,
    CamelStruct,
    ConditionObject,
    Metadata,
    find_condition,
    shared_string,
)
from statefulroute.cluster.resource_type import ResourceType
from statefulroute.domain.load import parse_load_report
from statefulroute.domain.pod import Endpoint, Node, Owner, Pod, PodAnnotations, ordinal, service_state
from statefulroute.domain.pod_views import most_restrictive


class _PodStatus(CamelStruct):
    phase: str = ""
    pod_ip: str = msgspec.field(name="podIP", default="")
    conditions: list[ConditionObject] | None = None


class _ContainerStateDetails(CamelStruct):
    reason: str = ""


class _ContainerState(CamelStruct):
    waiting: _ContainerStateDetails | None = None
    terminated: _ContainerStateDetails | None = None


class _ContainerStatus(CamelStruct):
    state: _ContainerState = msgspec.field(default_factory=_ContainerState)


class _DetailedPodStatus(_PodStatus):
    reason: str = ""
    init_container_statuses: list[_ContainerStatus] | None = None
    container_statuses: list[_ContainerStatus] | None = None


class _PodSpec(CamelStruct):
    node_name: str = ""


class _Pod(CamelStruct, kw_only=True):
    metadata: Metadata
    spec: _PodSpec = msgspec.field(default_factory=_PodSpec)
    status: _DetailedPodStatus = msgspec.field(default_factory=_DetailedPodStatus)


_NO_ANNOTATIONS = PodAnnotations()

#: The reasons of containers that have not failed: they are starting, or have ended as they should.
_USUAL_REASONS = frozenset({"ContainerCreating", "PodInitializing", "Completed"})

#: Kubernetes' own reasons are much shorter.
_MAX_REASON_LENGTH = 128


def _routing_state(annotations: Mapping[str, str]) -> RoutingState:
    """Returns the routing state that a pod reports; UNKNOWN if it reports none or an invalid one."""
    return RoutingState(annotations.get(ROUTING_STATE, RoutingState.UNKNOWN))


def _make_pod(pod: _Pod) -> Pod:
    metadata, annotations = pod.metadata, pod.metadata.annotations or EMPTY
    controller = next((owner for owner in metadata.owner_references or () if owner.controller), None)
    condition = find_condition("Ready", pod.status.conditions)
    is_ready = pod.status.phase == "Running" and condition is not None and condition.status == "True"
    disruption = find_condition("DisruptionTarget", pod.status.conditions)
    labels: dict[str, str] = metadata.labels or {}
    is_marked_occupied = labels.pop(OCCUPIED_LABEL, None) is not None
    return Pod(
        namespace=shared_string(metadata.namespace),
        name=metadata.name,
        uid=metadata.uid,
        resource_version=int(metadata.resource_version),
        creation_timestamp=int(metadata.creation_timestamp.timestamp()),
        service_state=service_state(
            phase=pod.status.phase, is_ready=is_ready, is_terminating=metadata.deletion_timestamp is not None
        ),
        is_ready=is_ready,
        not_ready_reason="" if is_ready else _not_ready_reason(pod.status),
        reported_routing_state=_routing_state(annotations),
        index=ordinal(metadata.name),
        owner=Owner(shared_string(controller.kind), controller.name, controller.uid) if controller else None,
        labels=labels or EMPTY,
        node_name=shared_string(pod.spec.node_name),
        ip=pod.status.pod_ip,
        load_report=parse_load_report(annotations),
        annotations=_parse_pod_annotations(annotations),
        is_marked_occupied=is_marked_occupied,
        disruption=disruption.reason if disruption is not None and disruption.status == "True" else None,
    )


def _not_ready_reason(status: _DetailedPodStatus) -> str:
    """Returns the reason that explains best why a pod is not ready, as `kubectl get pods` does; empty if none does."""
    scheduled, ready = (find_condition(kind, status.conditions) for kind in ("PodScheduled", "Ready"))
    unscheduled = scheduled.reason if scheduled and scheduled.status == "False" else ""
    containers = (*(status.init_container_statuses or ()), *(status.container_statuses or ()))
    waiting = [each.state.waiting.reason for each in containers if each.state.waiting]
    terminated = [each.state.terminated.reason for each in containers if each.state.terminated]
    failures = (each for each in (*waiting, *terminated) if each not in _USUAL_REASONS)
    reasons = (status.reason, unscheduled, *failures, *waiting, ready.reason if ready else "")
    return next(filter(None, reasons), "")[:_MAX_REASON_LENGTH]


def _parse_pod_annotations(annotations: Mapping[str, str]) -> PodAnnotations:
    weighted_load, deletion_cost = annotations.get(WEIGHTED_LOAD), annotations.get(POD_DELETION_COST)
    if weighted_load is None and deletion_cost is None:
        return _NO_ANNOTATIONS
    return PodAnnotations(weighted_load, deletion_cost)


class _Port(CamelStruct):
    name: str = ""
    container_port: int = 0


class _Container(CamelStruct):
    ports: list[_Port] | None = None


class _EndpointSpec(CamelStruct):
    containers: list[_Container] | None = None
    hostname: str = ""
    subdomain: str = ""


class _Endpoint(CamelStruct, kw_only=True):
    metadata: Metadata
    spec: _EndpointSpec = msgspec.field(default_factory=_EndpointSpec)
    status: _PodStatus = msgspec.field(default_factory=_PodStatus)


def _own_routing_state(metadata: Metadata) -> RoutingState:
    """Returns the routing state that a pod sets by its annotation and by its end."""
    state = _routing_state(metadata.annotations or EMPTY)
    return state if metadata.deletion_timestamp is None else most_restrictive(state, RoutingState.DENY_NEW_CALL)


def _make_endpoint(pod: _Endpoint) -> Endpoint:
    condition = find_condition("Ready", pod.status.conditions)
    ports = (port for container in pod.spec.containers or () for port in container.ports or ())
    return Endpoint(
        namespace=shared_string(pod.metadata.namespace),
        name=pod.metadata.name,
        resource_version=int(pod.metadata.resource_version),
        ip=pod.status.pod_ip,
        is_ready=pod.status.phase == "Running" and condition is not None and condition.status == "True",
        routing_state=_own_routing_state(pod.metadata),
        ports={port.name: port.container_port for port in ports if port.name},
        host=_host(pod.metadata, pod.spec),
    )


def _host(metadata: Metadata, spec: _EndpointSpec) -> str | None:
    """Returns the DNS name of a pod of a StatefulSet. Pods of other workloads may share one host name."""
    if spec.hostname != metadata.name or not spec.subdomain:
        return None
    return f"{metadata.name}.{spec.subdomain}.{metadata.namespace}.svc"


class _NodeStatus(CamelStruct):
    conditions: list[ConditionObject] | None = None


class _Taint(CamelStruct):
    key: str = ""


class _NodeSpec(CamelStruct):
    unschedulable: bool = False
    taints: list[_Taint] | None = None


class _Node(CamelStruct, kw_only=True):
    metadata: Metadata
    spec: _NodeSpec = msgspec.field(default_factory=_NodeSpec)
    status: _NodeStatus = msgspec.field(default_factory=_NodeStatus)


#: The taints of nodes that are about to lose their pods: by `kubectl cordon`, Cluster Autoscaler, and Karpenter since
#: and before version 1.
_DRAIN_TAINTS = frozenset(
    {
        "node.kubernetes.io/unschedulable",
        "ToBeDeletedByClusterAutoscaler",
        "karpenter.sh/disrupted",
        "karpenter.sh/disruption",
    }
)


def _make_node(node: _Node) -> Node:
    ready = find_condition("Ready", node.status.conditions)
    return Node(
        name=node.metadata.name,
        resource_version=int(node.metadata.resource_version),
        is_ready=ready is not None and ready.status == "True",
        is_drained=node.spec.unschedulable or any(taint.key in _DRAIN_TAINTS for taint in node.spec.taints or ()),
    )


NODES = ResourceType("/api/v1/nodes", _Node, _make_node)
ENDPOINTS = ResourceType("/api/v1/pods", _Endpoint, _make_endpoint)
PODS = ResourceType("/api/v1/pods", _Pod, _make_pod)
