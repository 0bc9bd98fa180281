"""A pod as the rules see it."""

import msgspec

from statefulroute.api.vocabulary import RoutingState, ServiceState


class Owner(msgspec.Struct, frozen=True):
    """The controller that a pod belongs to."""

    kind: str
    name: str
    uid: str


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a pod: the fields that a decision may depend on."""

    group: str
    """Its namespace."""
    name: str
    resource_version: int
    service_state: ServiceState
    said: RoutingState = RoutingState.UNKNOWN
    """The routing state that its driver has said."""
    index: int | None = None
    """Its place among its workload's pods; None where pods have no index."""
    owner: Owner | None = None
    node_name: str = ""
    """The node that it runs on; empty before it is scheduled."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a node: whether the pods on it can be reached."""

    name: str
    resource_version: int
    is_ready: bool
    group: str = ""
    """Nodes are in no namespace."""


def service_state(*, phase: str, ready: bool, terminating: bool) -> ServiceState:
    """What Kubernetes says of a pod, from its phase, its Ready condition and its deletion."""
    if terminating:
        return ServiceState.TERMINATING
    match phase:
        case "Running":
            return ServiceState.READY if ready else ServiceState.NOT_READY
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
