"""Pods and nodes: the fields that the rules use."""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.domain.load import LoadReport, UnreadableReport

#: The label of a StatefulSet's pod that names its revision of the template.
REVISION_LABEL = "controller-revision-hash"


class Owner(msgspec.Struct, frozen=True, gc=False):
    """The controller of a pod."""

    kind: str
    name: str
    uid: str


class PodAnnotations(msgspec.Struct, frozen=True, gc=False):
    """The operator's annotations on a pod, as stored.

    Attributes:
        weighted_load: the weighted load.
        deletion_cost: the deletion cost.
    """

    weighted_load: str | None = None
    deletion_cost: str | None = None


class Pod(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One version of a pod."""

    namespace: str
    name: str
    uid: str = ""
    resource_version: int
    creation_timestamp: int = 0
    """The creation time as a Unix time in seconds."""
    service_state: ServiceState
    is_ready: bool = False
    """Whether the Ready condition is True. It may be True while the pod terminates."""
    not_ready_reason: str = ""
    """Why the pod is not ready, as Kubernetes names it: Unschedulable, CrashLoopBackOff, ...; empty if it does not."""
    reported_routing_state: RoutingState = RoutingState.UNKNOWN
    """The routing state in the annotation of the pod."""
    index: int | None = None
    """The ordinal at the end of the name, if it has one."""
    owner: Owner | None = None
    labels: Mapping[str, str] = MappingProxyType({})
    node_name: str = ""
    """The node of the pod; empty before the pod is scheduled."""
    ip: str = ""
    """The IP of the pod; empty before it starts. It changes on a restart, so no decision depends on it."""
    load_report: LoadReport | UnreadableReport | None = None
    """The load report in the annotations of the pod."""
    annotations: PodAnnotations = PodAnnotations()
    is_marked_occupied: bool = False
    """Whether the pod has the label `statefulroute.io/occupied`, as stored. It is none of `labels`."""
    disruption: str | None = None
    """The reason of the condition DisruptionTarget if it is True: the pod is evicted, or deleted with its node."""

    @property
    def partition(self) -> str:
        """The key by which caches partition objects."""
        return self.namespace

    @property
    def revision(self) -> str:
        """The revision of the StatefulSet's template that the pod has; empty if it is not known."""
        return self.labels.get(REVISION_LABEL, "")

    @property
    def decision_inputs(self) -> "Pod":
        """The pod without the fields that no decision depends on: version, IP, report, and what the operator wrote."""
        return msgspec.structs.replace(
            self,
            resource_version=0,
            ip="",
            load_report=None,
            annotations=PodAnnotations(),
            is_marked_occupied=False,
        )


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One version of a pod: its address, and which users it accepts."""

    namespace: str
    name: str
    resource_version: int
    ip: str = ""
    """The IP of the pod; empty before it starts."""
    is_ready: bool = False
    routing_state: RoutingState = RoutingState.UNKNOWN
    """The routing state that the pod itself sets: that of its annotation, and at least DenyNewCall while it ends."""
    ports: Mapping[str, int] = MappingProxyType({})
    """The named container ports."""
    host: str | None = None
    """The DNS name of the pod, by which its headless Service provides its IP; None if it has none."""

    @property
    def partition(self) -> str:
        """The key by which caches partition objects."""
        return self.namespace

    @property
    def is_available(self) -> bool:
        """Whether the pod itself accepts new users; the spec and the workload of its route may deny them."""
        return self.is_ready and bool(self.ip) and self.routing_state in {RoutingState.READY, RoutingState.UNKNOWN}


class Node(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One version of a node."""

    name: str
    resource_version: int
    is_ready: bool
    is_drained: bool = False
    """Whether the node is about to lose its pods: it is unschedulable, or has a taint of those who remove nodes."""
    is_deleted: bool = False
    """Whether the node was deleted. Its pods remain for a while, and fail."""
    namespace: str = ""
    """Always empty: nodes are cluster-scoped."""

    @property
    def partition(self) -> str:
        """The key by which caches partition objects."""
        return self.namespace


def service_state(*, phase: str, is_ready: bool, is_terminating: bool) -> ServiceState:
    """Returns the service state of a pod from its phase, its Ready condition and its deletion."""
    if is_terminating:
        return ServiceState.TERMINATING
    match phase:
        case "Running":
            return ServiceState.READY if is_ready else ServiceState.NOT_READY
        case "Pending":
            return ServiceState.PENDING
        case "Failed" | "Succeeded":
            return ServiceState.FAILED
        case _:
            return ServiceState.UNKNOWN


def ordinal(name: str) -> int | None:
    """Returns the ordinal at the end of the name of a StatefulSet's pod (`game-2`); None if there is none."""
    _, dash, digits = name.rpartition("-")
    return int(digits) if dash and digits.isascii() and digits.isdigit() else None
