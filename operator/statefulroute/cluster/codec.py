"""Decodes Kubernetes objects from JSON into domain values.

Only the fields that the domain needs are decoded. msgspec skips all other fields, which are nine tenths of a Pod.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import msgspec

from statefulroute.api.annotations import (
    LAST_APPLIED,
    LOSS_CONFIRMED_AT,
    OCCUPIED_LABEL,
    POD_DELETION_COST,
    ROUTING_STATE,
    WEIGHTED_LOAD,
    WORKLOAD_LOAD,
    WORKLOAD_STATE,
)
from statefulroute.api.group import API_VERSION, POD_LINK, STATEFUL_ROUTE
from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.api.statefulroute import StatefulRouteSpec
from statefulroute.api.vocabulary import LinkPhase, LinkReason, LoadSource, PodLostAction, RoutingState
from statefulroute.cluster.field_logger import get_logger
from statefulroute.cluster.model_reader import read_model
from statefulroute.cluster.resource_type import ResourceType
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.label_selector import LabelSelector
from statefulroute.domain.link import Link, LinkStatus, expire_time
from statefulroute.domain.load import parse_load_report
from statefulroute.domain.pod import Endpoint, Node, Owner, Pod, PodAnnotations, ordinal, service_state
from statefulroute.domain.pod_views import most_restrictive
from statefulroute.domain.route import Route, Workload, WorkloadAnnotations
from statefulroute.domain.times import parse_time
from statefulroute.domain.validation import find_violation

log = get_logger(__name__)


class _CamelStruct(msgspec.Struct, rename="camel", gc=False):
    """A struct whose fields have camelCase names in JSON."""


class _OwnerReference(_CamelStruct):
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class _Metadata(_CamelStruct, kw_only=True):
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str
    generation: int = 0
    creation_timestamp: datetime
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[_OwnerReference] | None = None


class ConditionObject(_CamelStruct):
    """A condition of an object's status."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
    """Null in conditions of pods that another component than the kubelet wrote."""


class _ManagedFieldsEntry(_CamelStruct):
    operation: str = ""


class _LinkAnnotations(_CamelStruct):
    last_applied: str = msgspec.field(name=LAST_APPLIED, default="")


class _LinkMetadata(_CamelStruct, kw_only=True):
    name: str
    namespace: str
    resource_version: str
    generation: int = 0
    creation_timestamp: datetime
    deletion_timestamp: str | None = None
    annotations: _LinkAnnotations | None = None
    managed_fields: list[_ManagedFieldsEntry] | None = None


class _LinkSpec(_CamelStruct, kw_only=True):
    route_name: str
    uid: str = ""
    namespace: str | None = None
    pod_index: int | None = None
    pod_name: str | None = None
    ttl_seconds: int | None = None
    renew_time: str | None = None


class PodLinkStatusObject(_CamelStruct):
    """The status of a PodLink in JSON. Extend it to decode further fields."""

    phase: str = ""
    pod_index: int | None = None
    pod_name: str | None = None
    host: str | None = None
    expire_time: str | None = None
    observed_generation: int = 0
    facts_hash: str | None = None
    conditions: list[ConditionObject] | None = None


class PodLinkObject(_CamelStruct, kw_only=True):
    """A PodLink in JSON. Extend it to decode further fields."""

    metadata: _LinkMetadata
    spec: _LinkSpec
    status: PodLinkStatusObject | None = None


_route_key = lru_cache(maxsize=4096)(RouteKey)
"""Returns the key of a route; all links of the route share one object."""


shared_string = lru_cache(maxsize=4096)(str)
"""Returns a string that many objects have: the name of a namespace or a node."""


@lru_cache(maxsize=65_536)
def _link_status(  # noqa: PLR0913, PLR0917 - the fields of a status
    phase: str,
    reason: str,
    message: str,
    pod_index: int | None,
    pod_name: str | None,
    host: str | None,
    facts_hash: str | None,
) -> LinkStatus | None:
    """Returns the status of a link, or None if it has none. All links with the same status share one object."""
    if not phase:
        return None
    return LinkStatus(LinkPhase(phase), LinkReason(reason), message, pod_index, pod_name, host, facts_hash)


def find_condition(condition_type: str, conditions: list[ConditionObject] | None) -> ConditionObject | None:
    """Returns the condition of a type, or None."""
    return next((condition for condition in conditions or () if condition.type == condition_type), None)


def make_link(link: PodLinkObject) -> Link:
    """Returns the link that a PodLink describes.

    Raises:
        ValueError: a time or the resource version is malformed.
    """
    metadata, spec, status = link.metadata, link.spec, link.status or PodLinkStatusObject()
    ready = find_condition("Ready", status.conditions) or ConditionObject()
    foreign = spec.namespace if spec.namespace not in (None, metadata.namespace) else None
    return Link(
        route=_route_key(metadata.namespace, spec.route_name),
        name=metadata.name,
        resource_version=int(metadata.resource_version),
        generation=metadata.generation,
        pod=spec.pod_name if spec.pod_index is None else spec.pod_index,
        foreign_namespace=foreign,
        ttl_seconds=spec.ttl_seconds,
        creation_timestamp=int(metadata.creation_timestamp.timestamp()),
        expire_time=expire_time(metadata.creation_timestamp, parse_time(spec.renew_time), spec.ttl_seconds),
        is_deleting=metadata.deletion_timestamp is not None,
        violation=find_violation(
            metadata.name,
            spec.route_name,
            spec.uid,
            spec.pod_index,
            spec.pod_name,
            spec.ttl_seconds,
            spec.renew_time,
        ),
        has_removable_managed_fields=_has_removable_managed_fields(metadata),
        status=_link_status(
            status.phase,
            ready.reason,
            ready.message,
            status.pod_index,
            status.pod_name,
            status.host,
            status.facts_hash,
        ),
        observed_generation=status.observed_generation,
        status_expire_time=parse_time(status.expire_time),
        transition_time=parse_time(ready.last_transition_time),
    )


def _has_removable_managed_fields(metadata: _LinkMetadata) -> bool:
    """Returns whether a link has managedFields that are not needed, because the link was never applied.

    Server-side apply needs its own entries to remove fields. When a manifest changes from client-side to server-side
    apply, kubectl needs all: without them, it takes over every field, and removes a pod that the operator has chosen.
    """
    if not metadata.managed_fields or (metadata.annotations is not None and metadata.annotations.last_applied):
        return False
    for entry in metadata.managed_fields:  # noqa: SIM110 - three times as fast as `all`, for each link of a list
        if entry.operation != "Update":
            return False
    return True


class _PodStatus(_CamelStruct):
    phase: str = ""
    pod_ip: str = msgspec.field(name="podIP", default="")
    conditions: list[ConditionObject] | None = None


class _ContainerStateDetails(_CamelStruct):
    reason: str = ""


class _ContainerState(_CamelStruct):
    waiting: _ContainerStateDetails | None = None
    terminated: _ContainerStateDetails | None = None


class _ContainerStatus(_CamelStruct):
    state: _ContainerState = msgspec.field(default_factory=_ContainerState)


class _DetailedPodStatus(_PodStatus):
    reason: str = ""
    init_container_statuses: list[_ContainerStatus] | None = None
    container_statuses: list[_ContainerStatus] | None = None


class _PodSpec(_CamelStruct):
    node_name: str = ""


class _Pod(_CamelStruct, kw_only=True):
    metadata: _Metadata
    spec: _PodSpec = msgspec.field(default_factory=_PodSpec)
    status: _DetailedPodStatus = msgspec.field(default_factory=_DetailedPodStatus)


_EMPTY: Mapping[str, str] = MappingProxyType({})
_NO_ANNOTATIONS = PodAnnotations()

#: The reasons of containers that have not failed: they are starting, or have ended as they should.
_USUAL_REASONS = frozenset({"ContainerCreating", "PodInitializing", "Completed"})

#: Kubernetes' own reasons are much shorter.
_MAX_REASON_LENGTH = 128


def _routing_state(annotations: Mapping[str, str]) -> RoutingState:
    """Returns the routing state that a pod reports; UNKNOWN if it reports none or an invalid one."""
    return RoutingState(annotations.get(ROUTING_STATE, RoutingState.UNKNOWN))


def _make_pod(pod: _Pod) -> Pod:
    metadata, annotations = pod.metadata, pod.metadata.annotations or _EMPTY
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
        service_state=service_state(
            phase=pod.status.phase, is_ready=is_ready, is_terminating=metadata.deletion_timestamp is not None
        ),
        is_ready=is_ready,
        not_ready_reason="" if is_ready else _not_ready_reason(pod.status),
        reported_routing_state=_routing_state(annotations),
        index=ordinal(metadata.name),
        owner=Owner(shared_string(controller.kind), controller.name, controller.uid) if controller else None,
        labels=labels or _EMPTY,
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


class _Port(_CamelStruct):
    name: str = ""
    container_port: int = 0


class _Container(_CamelStruct):
    ports: list[_Port] | None = None


class _EndpointSpec(_CamelStruct):
    containers: list[_Container] | None = None
    hostname: str = ""
    subdomain: str = ""


class _Endpoint(_CamelStruct, kw_only=True):
    metadata: _Metadata
    spec: _EndpointSpec = msgspec.field(default_factory=_EndpointSpec)
    status: _PodStatus = msgspec.field(default_factory=_PodStatus)


def _own_routing_state(metadata: _Metadata) -> RoutingState:
    """Returns the routing state that a pod sets by its annotation and by its end."""
    state = _routing_state(metadata.annotations or _EMPTY)
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


def _host(metadata: _Metadata, spec: _EndpointSpec) -> str | None:
    """Returns the DNS name of a pod of a StatefulSet. Pods of other workloads may share one host name."""
    if spec.hostname != metadata.name or not spec.subdomain:
        return None
    return f"{metadata.name}.{spec.subdomain}.{metadata.namespace}.svc"


class _NodeStatus(_CamelStruct):
    conditions: list[ConditionObject] | None = None


class _Taint(_CamelStruct):
    key: str = ""


class _NodeSpec(_CamelStruct):
    unschedulable: bool = False
    taints: list[_Taint] | None = None


class _Node(_CamelStruct, kw_only=True):
    metadata: _Metadata
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


class _Ordinals(_CamelStruct):
    start: int = 0


class _UpdateStrategy(_CamelStruct):
    type: str = ""


class _StatefulSetStatus(_CamelStruct):
    update_revision: str = ""


class _StatefulSetSpec(_CamelStruct):
    replicas: int = 1
    selector: LabelSelector = LabelSelector()
    update_strategy: _UpdateStrategy | None = None
    ordinals: _Ordinals | None = None
    service_name: str = ""


class _StatefulSet(_CamelStruct, kw_only=True):
    metadata: _Metadata
    spec: _StatefulSetSpec
    status: _StatefulSetStatus | None = None


def _make_workload(stateful_set: _StatefulSet) -> Workload:
    return Workload(
        namespace=shared_string(stateful_set.metadata.namespace),
        name=stateful_set.metadata.name,
        resource_version=int(stateful_set.metadata.resource_version),
        uid=stateful_set.metadata.uid,
        replicas=stateful_set.spec.replicas,
        first_index=stateful_set.spec.ordinals.start if stateful_set.spec.ordinals else 0,
        selector_text=_selector_text(stateful_set.spec.selector),
        update_revision=stateful_set.status.update_revision if stateful_set.status else "",
        update_strategy=shared_string(
            stateful_set.spec.update_strategy.type if stateful_set.spec.update_strategy else ""
        ),
        service_name=stateful_set.spec.service_name,
        annotations=parse_workload_annotations(stateful_set.metadata.annotations or _EMPTY),
    )


def _selector_text(selector: LabelSelector) -> str:
    """Returns a label selector as `kubectl get -l` takes it; empty if only a later version understands it."""
    try:
        return shared_string(selector.text)
    except ValueError:
        return ""


def parse_workload_annotations(annotations: Mapping[str, str]) -> WorkloadAnnotations:
    """Returns the operator's annotations of a workload."""
    return WorkloadAnnotations(annotations.get(WORKLOAD_STATE), annotations.get(WORKLOAD_LOAD))


class _Route(_CamelStruct, kw_only=True):
    metadata: _Metadata
    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    status: dict[str, Any] = msgspec.field(default_factory=dict)


def _make_route(route: _Route) -> Route:
    metadata = route.metadata
    status, _ = read_model(StatefulRouteStatus, route.status)  # the next status update replaces what is left out
    spec, unknown = read_route_spec(route.spec)
    if unknown:
        log_unknown_values(metadata.namespace, metadata.name, metadata.generation, unknown)
    return Route(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        resource_version=int(metadata.resource_version),
        generation=metadata.generation,
        spec=spec,
        status=status,
        is_deleting=metadata.deletion_timestamp is not None,
        loss_confirmed_at=loss_confirmed_at(metadata.annotations),
    )


def loss_confirmed_at(annotations: Mapping[str, str] | None) -> datetime | None:
    """Returns when a person confirmed the losses of a route's pods; None if it was not confirmed."""
    return parse_time((annotations or _EMPTY).get(LOSS_CONFIRMED_AT))


def read_route_spec(spec: Mapping[str, Any]) -> tuple[StatefulRouteSpec, tuple[str, ...]]:
    """Reads the spec of a route; returns it and the fields whose values this version does not know.

    Raises:
        ValueError: the reference to the workload is invalid, or too much is.
    """
    read, left_out = read_model(StatefulRouteSpec, spec, required=frozenset({"workloadRef"}))
    return read, (*left_out, *_unknown_settings(read))


def _unknown_settings(spec: StatefulRouteSpec) -> Iterator[str]:
    """Yields the fields whose value this version does not know."""
    if spec.routing_state is RoutingState.UNKNOWN:
        yield "routingState"
    if spec.load.source is LoadSource.UNKNOWN:
        yield "load.source"
    if spec.on_pod_lost.action is PodLostAction.UNKNOWN:
        yield "onPodLost.action"


@lru_cache(maxsize=1024)
def log_unknown_values(namespace: str, name: str, generation: int, fields: tuple[str, ...]) -> None:
    """Logs the fields of a route that this version does not understand, once for each generation."""
    log.warning(
        "a route has values that this version does not know",
        namespace=namespace,
        name=name,
        generation=generation,
        fields=fields,
    )


NODES = ResourceType("/api/v1/nodes", _Node, _make_node)
ENDPOINTS = ResourceType("/api/v1/pods", _Endpoint, _make_endpoint)
PODS = ResourceType("/api/v1/pods", _Pod, _make_pod)
STATEFUL_SETS = ResourceType("/apis/apps/v1/statefulsets", _StatefulSet, _make_workload)
LINKS = ResourceType(f"/apis/{API_VERSION}/{POD_LINK.plural}", PodLinkObject, make_link)
ROUTES = ResourceType(f"/apis/{API_VERSION}/{STATEFUL_ROUTE.plural}", _Route, _make_route)
