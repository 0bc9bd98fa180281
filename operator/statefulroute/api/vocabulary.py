"""The vocabularies of the API: states, phases, condition types and reasons.

This version writes only values of these enums; a later version may write others. The string after each member
describes it.
"""

from enum import StrEnum
from typing import Any, Self


class OpenEnum(StrEnum):
    """An enum that reads each value that it does not know as UNKNOWN, like the open enums of Protocol Buffers.

    Operators, resolvers, drivers and definitions of two versions meet during every upgrade and rollback. A value that
    only the newer version knows must not hide the rest of an object from the older one.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        return cls["UNKNOWN"] if isinstance(value, str) else None

    @classmethod
    def known(cls) -> tuple[Self, ...]:
        """Returns the values that objects may have in this version."""
        return tuple(member for member in cls if member is not cls["UNKNOWN"])

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:  # noqa: ANN401 - pydantic's types
        """Returns the schema, which allows only these values. In a status, the definitions allow others, too."""
        return {**handler(core_schema), "enum": [str(member) for member in cls.known()]}


class RoutingState(OpenEnum):
    """Which users a pod, or a whole service, accepts."""

    UNKNOWN = "Unknown"
    """Not reported, or a value of another version; counts as Ready."""
    READY = "Ready"
    """Accepts all users."""
    DENY_NEW_CALL = "DenyNewCall"
    """Keeps its users and accepts no new ones."""
    SHUTDOWN = "Shutdown"
    """Accepts no users."""

    @classmethod
    def known(cls) -> tuple[Self, ...]:
        """Returns the values that objects may have in this version."""
        return tuple(cls)


class ServiceState(OpenEnum):
    """The state of a pod in Kubernetes."""

    UNKNOWN = "Unknown"
    """The node has not reported the pod, or a value of another version."""
    READY = "Ready"
    """The Ready condition of the pod is True."""
    NOT_READY = "NotReady"
    """The pod runs, and its Ready condition is not True."""
    FAILED = "Failed"
    """The containers of the pod have terminated."""
    PENDING = "Pending"
    """The pod has not started."""
    TERMINATING = "Terminating"
    """The pod is being deleted."""

    @classmethod
    def known(cls) -> tuple[Self, ...]:
        """Returns the values that objects may have in this version."""
        return tuple(cls)


class WorkloadState(OpenEnum):
    """How busy a service is, by the mean load of its pods."""

    UNKNOWN = "Unknown"
    """A value of another version."""
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


class LinkPhase(OpenEnum):
    """The phase of a link."""

    UNKNOWN = "Unknown"
    """A value of another version."""
    PENDING = "Pending"
    """The link is not bound yet; the Ready condition gives the reason."""
    BOUND = "Bound"
    """The link is bound to its pod. The condition LinksServed of the route states whether the pod serves users now."""
    HANDING_OVER = "HandingOver"
    """The link is bound to its pod, which hands the user over to another pod."""
    LOST = "Lost"
    """The pod of the link is lost, and the link stays with it or no other pod is available."""
    REJECTED = "Rejected"
    """The link violates a rule and has no effect."""


class ConditionType(OpenEnum):
    """The types of conditions of the two kinds. `Ready` is always present."""

    UNKNOWN = "Unknown"
    """A value of another version."""
    READY = "Ready"
    """The link is bound, or the route serves users."""
    WORKLOAD_FOUND = "WorkloadFound"
    """The workload of the route exists, and its kind is supported."""
    LOAD_FRESH = "LoadFresh"
    """All pods that serve users have reported their load lately."""
    LINKS_SERVED = "LinksServed"
    """The pods of all links of the route serve their users."""
    LOSS_SUSPENDED = "LossSuspended"
    """So many nodes or pods look lost at once that the operator does not act on it."""
    SCALED = "Scaled"
    """The workload has as many pods as `spec.replicas`; present if the route scales its workload."""
    EVICTIONS_GUARDED = "EvictionsGuarded"
    """Evictions of pods with links are refused; present if `spec.disruption.protect` is set."""
    ROLLED_OUT = "RolledOut"
    """All pods have the latest revision; present if the route has a rollout."""
    SLOTS_BOUND = "SlotsBound"
    """Each slot is bound to a pod; present if the route has slots."""
    SLOTS_BALANCED = "SlotsBalanced"
    """The number of slots of each pod differs from the mean by at most one; present if the route has slots."""


class NotServingReason(StrEnum):
    """Why a pod does not serve its users, unless Kubernetes gives a reason (Unschedulable, ...) or its node is lost."""

    POD_NOT_FOUND = "PodNotFound"
    """The workload has no such pod."""
    SHUTDOWN = "Shutdown"
    """The routing state of the pod is Shutdown."""
    PENDING = "Pending"
    """The pod has not started."""
    NOT_READY = "NotReady"
    """The pod runs, and its Ready condition is not True."""
    TERMINATING = "Terminating"
    """The pod is being deleted, and is not ready any more."""
    FAILED = "Failed"
    """The containers of the pod have terminated."""
    UNKNOWN = "Unknown"
    """The node has not reported the pod."""


class LinkReason(OpenEnum):
    """The reasons of a link's Ready condition."""

    UNKNOWN = "Unknown"
    """A value of another version."""
    BOUND = "Bound"
    """The link is bound to its pod, which may be restarting."""
    HANDING_OVER = "HandingOver"
    """The link is bound to its pod, which hands the user over to another pod."""
    NO_AVAILABLE_POD = "NoAvailablePod"
    """No pod of the route is available for new users. The message names the reason of each pod."""
    ROUTE_NOT_FOUND = "RouteNotFound"
    """The namespace of the link has no StatefulRoute with this name."""
    WORKLOAD_NOT_FOUND = "WorkloadNotFound"
    """The workload of the route does not exist or is not supported."""
    POD_NOT_FOUND = "PodNotFound"
    """The workload has no such pod."""
    POD_NOT_ROUTABLE = "PodNotRoutable"
    """The pod exists, and is not ready or is shut down."""
    POD_LOST = "PodLost"
    """The pod is gone or shut down, and the link stays with it or no other pod is available."""
    POD_NOT_READY = "PodNotReady"
    """The pod exists and has not been Ready for too long, and the link stays with it or no other pod is available."""
    AT_CAPACITY = "AtCapacity"
    """No pod takes new users now, at least one of them because it has the maximum number of links."""
    NOT_LOCAL_NAMESPACE = "NotLocalNamespace"
    """The link names a namespace other than its own."""
    NO_SUCH_SLOT = "NoSuchSlot"
    """The link binds a slot, and its route has no slots."""
    INVALID = "Invalid"
    """The link violates another validation rule."""


class MoveReason(OpenEnum):
    """Why a link moved to another pod."""

    UNKNOWN = "Unknown"
    """A value of another version."""
    MOVED = "Moved"
    """A client set another pod in the spec."""
    POD_LOST = "PodLost"
    """The pod was lost, and the route rebinds the links of lost pods."""
    HANDED_OVER = "HandedOver"
    """The previous pod has handed the user over, or has not done so in time."""
    DRAINED = "Drained"
    """The previous pod takes no new users, so it keeps no slots."""
    REBALANCED = "Rebalanced"
    """The slot was moved so that all pods have equally many."""


class RemoveReason(StrEnum):
    """Why the operator deletes a link."""

    EXPIRED = "Expired"
    """The TTL of the link has expired."""
    NO_SUCH_SLOT = "NoSuchSlot"
    """The link binds a slot that its route does not have."""
    POD_LOST = "PodLost"
    """The pod was lost, and the route releases the links of lost pods."""


class LossCause(OpenEnum):
    """Why a pod is lost."""

    UNKNOWN = "Unknown"
    """A value of another version."""
    POD_DELETED = "PodDeleted"
    """The pod was deleted, and it is not known why."""
    POD_FAILED = "PodFailed"
    """The containers of the pod have terminated."""
    POD_EVICTED = "PodEvicted"
    """The pod was evicted: its node was drained or short of resources, or a pod with a higher priority needed room."""
    SCALED_DOWN = "ScaledDown"
    """The workload was scaled down."""
    NODE_NOT_READY = "NodeNotReady"
    """The node of the pod is not Ready."""
    NODE_GONE = "NodeGone"
    """The node of the pod was deleted."""
    NOT_READY = "NotReady"
    """The pod exists, and has not been Ready for too long."""
    SHUTDOWN = "Shutdown"
    """The routing state of the pod is Shutdown."""
    WORKLOAD_GONE = "WorkloadGone"
    """The workload was deleted."""
    DEADLINE_OVER = "DeadlineOver"
    """The pod is removed on purpose, and the time for which it could keep its users is over."""


class ClosingReason(OpenEnum):
    """Why a pod is closing: it is about to be removed on purpose, takes no new users and keeps those it has."""

    UNKNOWN = "Unknown"
    """A value of another version."""
    SCALE_DOWN = "ScaleDown"
    """The workload is scaled down."""
    NODE_DRAIN = "NodeDrain"
    """The node of the pod is unschedulable, or tainted because it will be removed."""
    ROLLOUT = "Rollout"
    """The pod has an older revision of the workload's template."""


class RouteReason(StrEnum):
    """The reasons of a route's conditions and events."""

    ROUTABLE = "Routable"
    """At least one pod serves users."""
    NO_ROUTABLE_POD = "NoRoutablePod"
    """No pod of the workload serves users."""
    SHUTDOWN = "Shutdown"
    """The routing state of the route is Shutdown."""
    WORKLOAD_FOUND = "WorkloadFound"
    """The workload exists."""
    WORKLOAD_NOT_FOUND = "WorkloadNotFound"
    """The workload does not exist."""
    WORKLOAD_KIND_NOT_SUPPORTED = "WorkloadKindNotSupported"
    """The kind of the workload does not exist, or has no scale subresource with a label selector."""
    WORKLOAD_FORBIDDEN = "WorkloadForbidden"
    """The operator is not allowed to read the scale of the workload."""
    WORKLOAD_UNREADABLE = "WorkloadUnreadable"
    """The API server cannot return the scale of the workload."""
    LOAD_FRESH = "LoadFresh"
    """All pods that serve users have reported their load lately."""
    LOAD_STALE = "LoadStale"
    """Some pods that serve users have not reported their load lately."""
    NO_LOAD_REPORTED = "NoLoadReported"
    """No pod has reported its load lately."""
    LINKS_SERVED = "LinksServed"
    """The pods of all links serve their users."""
    PODS_NOT_SERVING = "PodsNotServing"
    """Some links are bound to pods that do not serve their users."""
    NODES_LOST = "NodesLost"
    """Too many nodes that carry pods of the route are lost."""
    PODS_LOST = "PodsLost"
    """Too many pods of the route look lost."""
    NO_LOSS_SUSPENDED = "NoLossSuspended"
    """The operator acts on lost pods."""
    SCALED = "Scaled"
    """The workload has the desired number of pods."""
    SCALING = "Scaling"
    """The workload gets more pods, or empty pods are removed."""
    WAITING_FOR_USERS = "WaitingForUsers"
    """Closing pods still have links, and their deadline is not over."""
    SCALE_REFUSED = "ScaleRefused"
    """The operator is not allowed to scale the workload, or the API server refused it."""
    ANOTHER_ROUTE_SCALES = "AnotherRouteScales"
    """Another route scales the same workload."""
    ANOTHER_SCALER = "AnotherScaler"
    """Something else changes the number of pods of the workload, or `spec.replicas`, back again and again."""
    EVICTIONS_GUARDED = "EvictionsGuarded"
    """A PodDisruptionBudget guards the pods with links."""
    ANOTHER_BUDGET = "AnotherBudget"
    """Another PodDisruptionBudget selects the pods. Two of them would make every eviction fail."""
    GUARD_REFUSED = "GuardRefused"
    """The operator is not allowed to write the PodDisruptionBudget or the label of pods."""
    NODES_NOT_WATCHED = "NodesNotWatched"
    """The operator serves only some namespaces, and does not see that a node is drained."""
    SWITCHED_OFF = "SwitchedOff"
    """Planned disruptions are switched off in the operator (`--no-plan-disruptions`)."""
    ROLLED_OUT = "RolledOut"
    """All pods have the latest revision, or are below the partition."""
    ROLLING_OUT = "RollingOut"
    """Pods of older revisions are replaced."""
    PAUSED = "Paused"
    """The rollout is paused."""
    UPDATE_STRATEGY_NOT_ON_DELETE = "UpdateStrategyNotOnDelete"
    """The StatefulSet replaces its pods by itself, because its update strategy is not OnDelete."""
    NEW_REVISION_NOT_READY = "NewRevisionNotReady"
    """A pod of the latest revision does not get Ready, so no further pod is replaced."""
    NO_OTHER_AVAILABLE_POD = "NoOtherAvailablePod"
    """The last available pod is not closed before another one is available."""
    SLOTS_BOUND = "SlotsBound"
    """Each slot is bound to a pod."""
    SLOTS_UNBOUND = "SlotsUnbound"
    """Some slots are not bound: they are created by turns, and only while a pod takes new users."""
    SLOTS_REFUSED = "SlotsRefused"
    """The API server refuses to create links of slots."""
    SLOTS_BALANCED = "SlotsBalanced"
    """The number of slots of each pod differs from the mean by at most one."""
    SLOTS_UNEVEN = "SlotsUneven"
    """Some pods have more slots than others, and the route does not balance them."""
    REBALANCING = "Rebalancing"
    """Slots are moved to the pods that have fewer."""
    EVICTION_REFUSED = "EvictionRefused"
    """The eviction of an empty pod was refused, for example by a PodDisruptionBudget."""


class RouteEventReason(StrEnum):
    """The reasons of a route's events, besides its workload states and the reasons of its Ready condition."""

    DRAIN_STARTED = "DrainStarted"
    """The routing state of the route has changed to DenyNewCall or Shutdown."""
    DRAIN_ENDED = "DrainEnded"
    """The routing state of the route is no longer DenyNewCall or Shutdown."""
    LOSS_STARTED = "LossStarted"
    """Pods with links are lost."""
    LOSS_ENDED = "LossEnded"
    """Lost pods serve their users again, or have no links any more."""
    LOSS_SUSPENDED = "LossSuspended"
    """So many nodes or pods look lost at once that the operator does not act on it."""
    LOSS_RESUMED = "LossResumed"
    """The operator acts on lost pods again."""
    POD_CLOSING = "PodClosing"
    """A pod is about to be removed on purpose: it takes no new users."""
    POD_REOPENED = "PodReopened"
    """A closing pod stays and takes new users again."""
    POD_EMPTY = "PodEmpty"
    """A closing pod has no links any more."""
    CLOSING_DEADLINE_OVER = "ClosingDeadlineOver"
    """A closing pod has links at its deadline, which are handled as those of a lost pod."""
    WORKLOAD_SCALED = "WorkloadScaled"
    """The operator has changed the number of pods of the workload."""
    POD_REPLACED = "PodReplaced"
    """A pod of an older revision was evicted, to come back in the latest one."""
    ANOTHER_OPERATOR_WRITES = "AnotherOperatorWrites"
    """Another operator writes the status of the route while this one leads: two operators work on the same routes."""


class LoadSource(OpenEnum):
    """The source of the load of a pod."""

    UNKNOWN = "Unknown"
    """A value of another version."""
    REPORTED = "Reported"
    """The driver in the pod writes the load to annotations of the pod."""
    HTTP = "HTTP"
    """The operator polls each pod."""


class PodLostAction(OpenEnum):
    """What the operator does with the links of a lost pod."""

    UNKNOWN = "Unknown"
    """A value of another version, which is handled as Keep."""
    KEEP = "Keep"
    """Keeps them with the pod, marked Lost."""
    REBIND = "Rebind"
    """Moves them to other pods."""
    RELEASE = "Release"
    """Deletes them."""


class RebalanceStrategy(OpenEnum):
    """How the slots of a route are balanced after pods came or went."""

    UNKNOWN = "Unknown"
    """A value of another version, which is handled as Never."""
    NEVER = "Never"
    """Not at all: a new pod gets no slots until others are lost or drained."""
    EVEN = "Even"
    """By the fewest moves after which every pod has the mean number of slots, or differs from it by at most one."""


class BoundBy(StrEnum):
    """What binds a uid to its pod."""

    LINK = "Link"
    """The link of the uid itself."""
    SLOT = "Slot"
    """The link of the slot that the uid belongs to."""


class RolloutStrategy(OpenEnum):
    """When a pod of an older revision is replaced."""

    UNKNOWN = "Unknown"
    """A value of another version; no pod is replaced."""
    WHEN_EMPTY = "WhenEmpty"
    """When it has no links any more, or its deadline is over."""


#: The message for a link that names another namespace, from the admission policy and from the operator.
FOREIGN_NAMESPACE_MESSAGE = "only local namespace is supported"

#: The message for a link that names both a pod index and a pod name, from the CEL rule and from the operator.
TWO_PODS_MESSAGE = "podIndex and podName exclude each other: name the pod by one of them"

#: The message for a link with both a uid and a slot or with none, from the CEL rule and from the operator.
UID_OR_SLOT_MESSAGE = "a PodLink needs either uid or slot: the user, or the slot of users, that it binds"

#: The message for a slot's link with a TTL, from the CEL rule and from the operator.
SLOT_WITH_TTL_MESSAGE = "ttlSeconds needs uid: the link of a slot does not expire"

#: The message for a link with a renewal time and no TTL, from the CEL rule and from the operator.
RENEW_WITHOUT_TTL_MESSAGE = "renewTime needs ttlSeconds: a persistent link is not renewed"
