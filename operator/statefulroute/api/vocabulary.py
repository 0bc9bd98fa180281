"""The closed vocabularies: every state, phase, condition type and reason that an object may show.

Each member carries its meaning as a docstring-like comment, and nothing outside these enums is ever
written into a status.
"""

from enum import StrEnum


class RoutingState(StrEnum):
    """Whom a pod, or a whole service, takes."""

    UNKNOWN = "Unknown"
    """Has not said; counts as Ready."""
    READY = "Ready"
    """Takes everybody."""
    DENY_NEW_CALL = "DenyNewCall"
    """Keeps the users it has and takes no new ones."""
    SHUTDOWN = "Shutdown"
    """Takes nobody."""


class ServiceState(StrEnum):
    """What Kubernetes says of a pod."""

    UNKNOWN = "Unknown"
    """Its node has not reported it."""
    READY = "Ready"
    """Its Ready condition is True."""
    NOT_READY = "NotReady"
    """It runs, and its Ready condition is not True."""
    FAILED = "Failed"
    """Its containers have ended."""
    PENDING = "Pending"
    """It has not started."""
    TERMINATING = "Terminating"
    """It is being deleted."""


class WorkloadState(StrEnum):
    """How busy a service is, from the mean load of its pods."""

    IDLE = "Idle"
    """Below the `normal` threshold."""
    NORMAL = "Normal"
    """At or above the `normal` threshold."""
    HIGH = "High"
    """At or above the `high` threshold."""
    OVERLOADED = "Overloaded"
    """At or above the `overloaded` threshold."""
    SHUTDOWN = "Shutdown"
    """The service's routing state is Shutdown."""


class LinkPhase(StrEnum):
    """Where a link stands."""

    PENDING = "Pending"
    """Not bound yet; the Ready condition says what it waits for."""
    BOUND = "Bound"
    """Its pod was checked and serves its user."""
    LOST = "Lost"
    """Its pod is gone and the route keeps the links of lost pods."""
    REJECTED = "Rejected"
    """It breaks a rule and binds nothing."""


class ConditionType(StrEnum):
    """The conditions of the two kinds. `Ready` is always present."""

    READY = "Ready"
    """The object does what its spec asks for."""
    WORKLOAD_FOUND = "WorkloadFound"
    """The route's workload exists and can be routed to."""
    LOAD_FRESH = "LoadFresh"
    """Every pod that serves users has reported its load lately."""


class LinkReason(StrEnum):
    """Reasons of a link's Ready condition."""

    BOUND = "Bound"
    """The link's pod exists and is routable."""
    NO_AVAILABLE_POD = "NoAvailablePod"
    """No pod of the route takes new users now."""
    ROUTE_NOT_FOUND = "RouteNotFound"
    """No StatefulRoute of that name is in the link's namespace."""
    WORKLOAD_NOT_FOUND = "WorkloadNotFound"
    """The route's workload does not exist."""
    POD_NOT_FOUND = "PodNotFound"
    """The workload has no pod of that index now."""
    POD_NOT_ROUTABLE = "PodNotRoutable"
    """The pod exists and is not ready, or it is shut down."""
    POD_LOST = "PodLost"
    """The pod is gone or shut down, and the link stays with it or finds no other."""
    AT_CAPACITY = "AtCapacity"
    """Every pod that takes new users carries as many links as it may."""
    NOT_LOCAL_NAMESPACE = "NotLocalNamespace"
    """The link names a namespace other than its own."""
    INVALID = "Invalid"
    """The link breaks another rule of its kind."""


class MoveReason(StrEnum):
    """Why a link left the pod it was bound to."""

    MOVED = "Moved"
    """Somebody wrote another pod into its spec."""
    POD_LOST = "PodLost"
    """The pod was gone or shut down, and the route rebinds the links of such pods."""


class RemoveReason(StrEnum):
    """Why the operator deletes a link."""

    EXPIRED = "Expired"
    """It was temporary, and its time is over."""
    POD_LOST = "PodLost"
    """The pod was gone or shut down, and the route releases the links of such pods."""


class RouteReason(StrEnum):
    """Reasons of a route's conditions, and of the events of a route."""

    ROUTABLE = "Routable"
    """At least one pod serves users."""
    NO_ROUTABLE_POD = "NoRoutablePod"
    """No pod of the workload serves users now."""
    SHUTDOWN = "Shutdown"
    """The route's routing state is Shutdown."""
    WORKLOAD_FOUND = "WorkloadFound"
    """The workload exists."""
    WORKLOAD_NOT_FOUND = "WorkloadNotFound"
    """The workload does not exist."""
    WORKLOAD_KIND_NOT_SUPPORTED = "WorkloadKindNotSupported"
    """The workload's kind does not exist, or has no scale subresource that tells its pods' labels."""
    WORKLOAD_FORBIDDEN = "WorkloadForbidden"
    """The operator has no right to read the workload's scale."""
    WORKLOAD_UNREADABLE = "WorkloadUnreadable"
    """The API server cannot give the workload's scale."""
    LOAD_FRESH = "LoadFresh"
    """Every pod that serves users has reported its load lately."""
    LOAD_STALE = "LoadStale"
    """A pod that serves users has not reported its load lately, while others have."""
    NO_LOAD_REPORTED = "NoLoadReported"
    """No pod has reported its load lately."""


class LoadSource(StrEnum):
    """Where a pod's load comes from."""

    REPORTED = "Reported"
    """The driver in the pod writes it as the pod's annotations."""
    HTTP = "HTTP"
    """The operator asks each pod for it."""


class PodLostAction(StrEnum):
    """What becomes of the links of a pod that is gone or shut down."""

    KEEP = "Keep"
    """They stay where they are, marked Lost."""
    REBIND = "Rebind"
    """They move to the best of the other pods."""
    RELEASE = "Release"
    """They are deleted."""


#: The answer to a link that names another namespace, at admission and from the operator alike.
FOREIGN_NAMESPACE_MESSAGE = "only local namespace is supported"

#: The answer to a link that names its pod twice, at admission and from the operator alike.
TWO_PODS_MESSAGE = "podIndex and podName exclude each other: name the pod by one of them"

#: Likewise, to one that is renewed and has no end.
RENEW_WITHOUT_TTL_MESSAGE = "renewTime needs ttlSeconds: a persistent link is not renewed"
