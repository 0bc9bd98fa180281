"""A pod as the rules see it."""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.domain.load import LoadReport, UnreadableReport


class Owner(msgspec.Struct, frozen=True):
    """The controller that a pod belongs to."""

    kind: str
    name: str
    uid: str


class PodAnnotations(msgspec.Struct, frozen=True):
    """What the operator has noted on a pod, as the annotations stand there.

    Attributes:
        weighted_load: the weighted load.
        deletion_cost: what its deletion costs.
    """

    weighted_load: str | None = None
    deletion_cost: str | None = None


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a pod: the fields that something may depend on."""

    namespace: str
    """Its namespace."""
    name: str
    uid: str = ""
    resource_version: int
    service_state: ServiceState
    is_ready: bool = False
    """Whether its Ready condition is True; so it may still be while it ends."""
    reported_routing_state: RoutingState = RoutingState.UNKNOWN
    """The routing state that its annotation says."""
    index: int | None = None
    """The ordinal at the end of its name, where there is one."""
    owner: Owner | None = None
    labels: Mapping[str, str] = MappingProxyType({})
    node_name: str = ""
    """The node that it runs on; empty before it is scheduled."""
    ip: str = ""
    """Where it answers; empty before it has started. It changes with a restart, so no decision depends on it."""
    load_report: LoadReport | UnreadableReport | None = None
    """What its annotations say of its load."""
    annotations: PodAnnotations = PodAnnotations()

    @property
    def partition(self) -> str:
        """The key that caches group it by."""
        return self.namespace

    @property
    def decision_inputs(self) -> "Pod":
        """The pod without what changes from report to report: two versions of equal bearings are decided alike."""
        return msgspec.structs.replace(self, resource_version=0, ip="", load_report=None, annotations=PodAnnotations())


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a pod: where it can be reached."""

    namespace: str
    """Its namespace."""
    name: str
    resource_version: int
    ip: str = ""
    """Empty before it has started."""
    is_ready: bool = False
    ports: Mapping[str, int] = MappingProxyType({})
    """The container ports that have a name."""

    @property
    def partition(self) -> str:
        """The key that caches group it by."""
        return self.namespace


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a node: whether the pods on it can be reached."""

    name: str
    resource_version: int
    is_ready: bool
    namespace: str = ""
    """Nodes are in no namespace."""

    @property
    def partition(self) -> str:
        """The key that caches group it by."""
        return self.namespace


def service_state(*, phase: str, is_ready: bool, is_terminating: bool) -> ServiceState:
    """What Kubernetes says of a pod, from its phase, its Ready condition and its deletion."""
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
    """The index at the end of a StatefulSet's pod's name (`game-2`); None where there is none."""
    _, dash, digits = name.rpartition("-")
    return int(digits) if dash and digits.isascii() and digits.isdigit() else None
