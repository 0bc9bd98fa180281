"""A StatefulRoute, and the view of it with its workload and its pods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from statefulroute.api.limits import API_VERSION_MAX_LENGTH, KIND_MAX_LENGTH
from statefulroute.api.route_status import LostPodStatus, ObservedWorkload, StatefulRouteStatus
from statefulroute.api.statefulroute import StatefulRouteSpec, WorkloadRef
from statefulroute.api.vocabulary import (
    ConditionType,
    LossCause,
    PodLostAction,
    RouteReason,
    RoutingState,
    ServiceState,
    WorkloadState,
)
from statefulroute.domain.closing import Closing
from statefulroute.domain.explanation import NamedReason
from statefulroute.domain.keys import PodKey, RouteKey, WorkloadKey
from statefulroute.domain.load import Load
from statefulroute.domain.pod import Pod
from statefulroute.domain.workload import MissingWorkload, Workload, workload_not_found

#: The workloads whose controller uses the pod-deletion-cost annotation.
_DELETION_COST_KINDS = {("apps/v1", "Deployment"), ("apps/v1", "ReplicaSet")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One version of a StatefulRoute."""

    namespace: str
    name: str
    uid: str = ""
    resource_version: int
    generation: int
    spec: StatefulRouteSpec
    status: StatefulRouteStatus
    is_deleting: bool = False
    loss_confirmed_at: datetime | None = None
    """When a person confirmed the losses of pods that had begun by then."""

    @property
    def partition(self) -> str:
        """The key by which caches partition objects."""
        return self.namespace

    @property
    def key(self) -> RouteKey:
        """The key of the route."""
        return RouteKey(self.namespace, self.name)

    @property
    def decision_inputs(self) -> tuple[object, ...]:
        """What decisions and statuses depend on.

        The generation alone is not enough: a route that was deleted and created again may have the same.
        """
        return self.generation, self.spec, self.is_deleting, self.loss_confirmed_at

    @property
    def is_handled(self) -> bool:
        """Whether the status is for the current generation of the spec."""
        return self.status.observed_generation == self.generation

    @property
    def status_workload(self) -> ObservedWorkload | None:
        """The workload that the status is for; None if it names none."""
        return self.status.workload

    @property
    def status_assessment(self) -> tuple[WorkloadState | None, int | None]:
        """How busy the service is by the status: the workload state, and the mean weighted load."""
        return self.status.workload_state, self.status.workload_load

    @property
    def are_losses_suspended(self) -> bool:
        """Whether losses are suspended by the status."""
        conditions = self.status.conditions
        return any(each.type is ConditionType.LOSS_SUSPENDED and each.status == "True" for each in conditions)

    @property
    def status_lost_pods(self) -> Sequence[LostPodStatus]:
        """The lost pods by the status."""
        return self.status.lost_pods

    @property
    def workload_name(self) -> str:
        """The name of the workload; the name of the route by default."""
        return self.spec.workload_ref.name or self.name

    @property
    def workload_key(self) -> WorkloadKey:
        """The key of the workload."""
        reference = self.spec.workload_ref
        return WorkloadKey(self.namespace, reference.api_version, reference.kind, self.workload_name)

    @property
    def observed_workload(self) -> ObservedWorkload:
        """The workload of the spec, as the status names it."""
        key = self.workload_key
        # A definition of an earlier version limits neither, and a status must stay small.
        api_version, kind = key.api_version[:API_VERSION_MAX_LENGTH], key.kind[:KIND_MAX_LENGTH]
        return ObservedWorkload(api_version=api_version, kind=kind, name=key.name)

    def with_observed_workload(self) -> "Route | None":
        """Returns the route with the workload of its status; None if that is the workload of its spec, or unknown.

        The workload of the spec may have been edited while no operator ran. Then the annotations of the operator are
        still on the workload of the status.
        """
        observed = self.status_workload
        if observed is None or observed == self.observed_workload:
            return None
        return self.with_workload(WorkloadRef(api_version=observed.api_version, kind=observed.kind, name=observed.name))

    def with_workload(self, reference: WorkloadRef | None) -> "Route":
        """Returns the route with another workload; None is the workload of its spec."""
        if reference is None or reference == self.spec.workload_ref:
            return self
        return replace(self, spec=self.spec.model_copy(update={"workload_ref": reference}))

    @property
    def hands_users_over(self) -> bool:
        """Whether a pod that the route shuts down hands its users over, as long as it can."""
        spec = self.spec
        if spec.hand_over is None or spec.routing_state is RoutingState.SHUTDOWN:
            return False
        return spec.on_pod_lost.action is PodLostAction.REBIND

    @property
    def has_deletion_cost(self) -> bool:
        """Returns whether the controller of the workload uses the deletion costs of pods."""
        return (self.spec.workload_ref.api_version, self.spec.workload_ref.kind) in _DELETION_COST_KINDS

    def workload_not_found(self) -> MissingWorkload:
        """Returns the reason and message for a workload that does not exist."""
        return workload_not_found(self.workload_key)


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod of a route, with its effective routing state."""

    pod: Pod
    key: PodKey
    routing_state: RoutingState
    host: str | None
    node_loss: LossCause | None = None
    """Why the node of the pod is lost: NodeNotReady or NodeGone; None if it is not."""
    is_shut_down_by_route: bool = False
    """Whether the spec of the route sets the routing state to Shutdown, or the deadline of the closing pod is over."""
    is_on_drained_node: bool = False
    """Whether the node of the pod is about to lose its pods, and the route configures what follows."""
    is_handing_over: bool = False
    """Whether the pod, which the route shuts down, serves its users until they have been handed over."""

    @property
    def index(self) -> int | None:
        """The index of the pod; None if the workload's pods have none."""
        return self.key if isinstance(self.key, int) else None

    @property
    def is_on_lost_node(self) -> bool:
        """Returns whether the node of the pod is not ready, or was deleted."""
        return self.node_loss is not None

    @property
    def is_ending(self) -> bool:
        """Returns whether the pod has failed, or terminates."""
        return self.pod.service_state in {ServiceState.FAILED, ServiceState.TERMINATING}

    @property
    def has_ended(self) -> bool:
        """Returns whether the pod has ended: failed, or terminating and no longer ready."""
        if self.pod.service_state is ServiceState.FAILED:
            return True
        return self.pod.service_state is ServiceState.TERMINATING and not self.pod.is_ready

    @property
    def is_present(self) -> bool:
        """Returns whether the pod runs or is starting: it has not ended, and is not on a lost node."""
        return not self.is_on_lost_node and not self.has_ended

    @property
    def is_routable(self) -> bool:
        """Returns whether the pod serves its users: ready and not shut down. A terminating pod may be ready."""
        return self.pod.is_ready and self.routing_state is not RoutingState.SHUTDOWN

    @property
    def is_available(self) -> bool:
        """Returns whether the pod accepts new users: ready, and its routing state is Ready."""
        return self.pod.is_ready and self.routing_state is RoutingState.READY


@dataclass(frozen=True, slots=True)
class PodLoss:
    """The loss of a pod.

    Attributes:
        cause: the cause.
        message: the rest of a sentence that starts with the pod.
        is_grace_over: whether the route's grace period is over. Until then the pod is lost only for links that were
            bound to it, and a link that was never bound waits for the pod.
        after_seconds: the period after which the pod was lost; None if it was lost immediately.
    """

    cause: LossCause
    message: str
    is_grace_over: bool
    after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class LossSuspension:
    """Why the operator does not act on lost pods.

    Attributes:
        reason: whether too many nodes or too many pods look lost.
        lost: how many look lost.
        total: of how many.
        percent: the part that must not be exceeded, in percent.
    """

    reason: RouteReason
    lost: int
    total: int
    percent: int


class PodFinder(Protocol):
    """Finds the pod for a new user without looking at all pods of a view: `PlacementIndex` does."""

    def is_of(self, view: "RouteView") -> bool:
        """Returns whether a view is the latest one, which alone the answers are for."""

    def best_pod(self, now: datetime) -> PodView | None:
        """Returns the pod that the next user is placed on; None if no pod takes new users."""

    def has_available_pod(self, now: datetime) -> bool:
        """Returns whether a pod accepts new users, or would if it had room."""

    def reasons(self, now: datetime) -> Sequence[NamedReason]:
        """Returns why the pods take no new users if `best_pod` is None, each reason with the first pods."""


_NOTHING: Mapping[PodKey, Any] = {}


def _nothing() -> Mapping[PodKey, Any]:
    """Returns an empty mapping, which all views share."""
    return _NOTHING


@dataclass(frozen=True, slots=True)
class RouteView:
    """A route, its workload and its pods. The pods, the link counts and the loads are live; the rest is of one moment.

    The pods change when the next view is requested, so decisions are made by the latest view.
    """

    route: Route
    workload: Workload | None
    missing_workload: MissingWorkload | None
    """Why the workload is missing. If `workload` is None as well, it was not read yet, and no decision is possible."""
    pods: Mapping[PodKey, PodView]
    """The pods of the workload, sorted."""
    link_counts: Mapping[PodKey, int]
    """The number of links of each pod; a pod without an entry has none."""
    loads: Mapping[PodKey, Load] = field(default_factory=_nothing)
    """The load of each pod that reported one, fresh or stale."""
    load_errors: Mapping[PodKey, str] = field(default_factory=_nothing)
    """Why the last read of a pod's load failed: the rest of a sentence that starts with the pod."""
    end_causes: Mapping[PodKey, LossCause] = field(default_factory=_nothing)
    """Why pods end or have ended, as far as an earlier version of them showed it. They may be deleted by now."""
    lost: Mapping[PodKey, PodLoss] = field(default_factory=_nothing)
    """The lost pods."""
    other_link_counts: Sequence[Mapping[PodKey, int]] = ()
    """The number of links of each pod in each of the other routes to the workload, and of those handed over to it."""
    withheld_losses: Mapping[PodKey, PodLoss] = field(default_factory=_nothing)
    """The pods that look lost, and whose loss does not count: losses are suspended, or it is not verified yet."""
    loss_suspension: LossSuspension | None = None
    """Why losses are suspended; None if they are not."""
    slot_counts: Mapping[PodKey, int] = field(default_factory=_nothing)
    """The number of slots of each pod; a slot that is handed over counts for the pod that takes it."""
    closing: Mapping[PodKey, Closing] = field(default_factory=_nothing)
    """The pods that are about to be removed on purpose."""
    index: PodFinder | None = field(default=None, compare=False, repr=False)
    """Finds the pod for a new user. It is that of the latest view of the route."""

    @property
    def is_workload_known(self) -> bool:
        """Returns whether the workload was read, or is known to be missing."""
        return self.workload is not None or self.missing_workload is not None

    @property
    def is_workload_gone(self) -> bool:
        """Returns whether the workload is known not to exist. A workload that cannot be read may exist."""
        return self.missing_workload is not None and self.missing_workload.reason is RouteReason.WORKLOAD_NOT_FOUND

    def link_count(self, pod: PodKey) -> int:
        """Returns the number of links of a pod in this route."""
        return self.link_counts.get(pod, 0)

    def total_link_count(self, pod: PodKey) -> int:
        """Returns the number of links of a pod in all routes to its workload, and of those that are handed over to it.

        These are all users that the pod serves, or is about to.
        """
        links = self.link_counts.get(pod, 0)
        return links + sum(counts.get(pod, 0) for counts in self.other_link_counts) if self.other_link_counts else links

    def pod_name(self, pod: PodKey) -> str:
        """Returns the name of a pod, which does not have to exist."""
        if (pod_view := self.pods.get(pod)) is not None:
            return pod_view.pod.name
        return pod if isinstance(pod, str) else f"{self.route.workload_name}-{pod}"

    def fresh_load(self, pod: PodKey, now: datetime) -> Load | None:
        """Returns the load of a pod if it is fresh."""
        load = self.loads.get(pod)
        stale_after = self.route.spec.load.stale_after_seconds
        return load if load is not None and load.is_fresh(stale_after, now) else None
