"""A StatefulRoute, its workload and its pods as the rules see them, and whom each pod takes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from statefulroute.api.statefulroute import StatefulRouteSpec, StatefulRouteStatus
from statefulroute.api.vocabulary import RouteReason, RoutingState, ServiceState
from statefulroute.domain.keys import PodKey, RouteKey, WorkloadKey, pod_sort_key
from statefulroute.domain.load import Load
from statefulroute.domain.pod import Node, Pod
from statefulroute.domain.selector import Selector

#: The workloads whose controller asks what the deletion of a pod costs.
_DELETION_COST_KINDS = {("apps/v1", "Deployment"), ("apps/v1", "ReplicaSet")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One version of a StatefulRoute."""

    namespace: str
    """Its namespace."""
    name: str
    uid: str = ""
    resource_version: int
    generation: int
    spec: StatefulRouteSpec
    status: StatefulRouteStatus
    is_deleting: bool = False

    @property
    def partition(self) -> str:
        """The key that caches group it by."""
        return self.namespace

    @property
    def key(self) -> RouteKey:
        """Where it is."""
        return RouteKey(self.namespace, self.name)

    @property
    def workload_name(self) -> str:
        """The name of its workload: its own name unless it says otherwise."""
        return self.spec.workload_ref.name or self.name

    @property
    def workload_key(self) -> WorkloadKey:
        """Where its workload is."""
        reference = self.spec.workload_ref
        return WorkloadKey(self.namespace, reference.api_version, reference.kind, self.workload_name)

    @property
    def has_deletion_cost(self) -> bool:
        """Whether its workload's controller asks what the deletion of a pod costs."""
        return (self.spec.workload_ref.api_version, self.spec.workload_ref.kind) in _DELETION_COST_KINDS

    def workload_not_found(self) -> "MissingWorkload":
        """That its workload does not exist."""
        named = f"{self.spec.workload_ref.kind} {self.workload_name!r}"
        return MissingWorkload(
            RouteReason.WORKLOAD_NOT_FOUND, f"{named} does not exist in namespace {self.namespace!r}"
        )


@dataclass(frozen=True, slots=True)
class WorkloadAnnotations:
    """What the operator has noted on a workload, as the annotations stand there.

    Attributes:
        state: how busy the service is.
        load: the mean weighted load of its pods.
    """

    state: str | None = None
    load: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One version of a workload: a StatefulSet, or whatever else can be scaled."""

    namespace: str
    """Its namespace."""
    name: str
    resource_version: int
    uid: str
    replicas: int
    first_index: int | None = None
    """The index of its first pod; None where its pods have no index, and none ever comes back under its name."""
    selector: Selector | None = None
    """The labels of its pods; None where its pods are those that name it as their controller."""
    annotations: WorkloadAnnotations = WorkloadAnnotations()
    service_name: str = ""
    """The headless Service that gives its pods their DNS names; empty where it has none."""

    @property
    def partition(self) -> str:
        """The key that caches group it by."""
        return self.namespace

    @property
    def decision_inputs(self) -> "Workload":
        """The workload without what decides nothing: its version and our own notes on it."""
        return replace(self, resource_version=0, annotations=WorkloadAnnotations())

    def owns(self, pod: Pod) -> bool:
        """Whether the pod is one of this workload's, and not of an earlier one of the same name."""
        if self.selector is not None:
            return self.selector.matches(pod.labels)
        return pod.owner is not None and pod.owner.uid == self.uid and pod.index is not None

    @property
    def is_indexed(self) -> bool:
        """Whether its pods are named by their index."""
        return self.first_index is not None

    def pod_key(self, pod: Pod) -> PodKey:
        """How links name one of its pods."""
        return pod.name if self.first_index is None or pod.index is None else pod.index

    def can_create(self, pod: PodKey) -> bool:
        """Whether a pod of this key that is not there may yet come: one within its replicas does."""
        if self.first_index is None or isinstance(pod, str):
            return False
        return self.first_index <= pod < self.first_index + self.replicas

    def host(self, pod: Pod) -> str | None:
        """The stable DNS name of one of its pods; None where there is no headless Service."""
        return f"{pod.name}.{self.service_name}.{self.namespace}.svc" if self.service_name else None


@dataclass(frozen=True, slots=True)
class MissingWorkload:
    """That a route has no workload that can be routed to.

    Attributes:
        reason: why, as one word.
        message: the same as a sentence.
    """

    reason: RouteReason
    message: str


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod of a route, with whom it takes when everything that was said is counted."""

    pod: Pod
    key: PodKey
    routing_state: RoutingState
    host: str | None
    is_on_lost_node: bool = False

    @property
    def index(self) -> int | None:
        """Its index; None where its workload's pods have none."""
        return self.key if isinstance(self.key, int) else None

    @property
    def is_present(self) -> bool:
        """Whether it exists or is on its way: not ended, not on a lost node, and if it ends, it still serves."""
        if self.is_on_lost_node or self.pod.service_state is ServiceState.FAILED:
            return False
        return self.pod.is_ready or self.pod.service_state is not ServiceState.TERMINATING

    @property
    def is_routable(self) -> bool:
        """Whether it serves its own users: ready and not shut down. So may a pod that ends, until it has ended."""
        return self.pod.is_ready and self.routing_state is not RoutingState.SHUTDOWN

    @property
    def is_available(self) -> bool:
        """Whether it takes new users: ready, and its routing state is Ready."""
        return self.pod.is_ready and self.routing_state is RoutingState.READY


@dataclass(frozen=True, slots=True)
class PodLoss:
    """That a pod is lost.

    Attributes:
        message: the end of a sentence that begins with the pod.
        is_grace_over: whether the route's grace period is over too; until then the pod is lost only to links that were
            bound to it, and a link that was never bound waits for it.
    """

    message: str
    is_grace_over: bool


@dataclass(frozen=True, slots=True)
class RouteView:
    """A route with all that belongs to it, frozen at one moment; only its links' counts and its loads go on moving."""

    route: Route
    workload: Workload | None
    missing_workload: MissingWorkload | None
    """Why there is no workload. Where there is neither, the workload was not read yet, and nothing can be decided."""
    pods: Mapping[PodKey, PodView]
    """The workload's pods, in their order."""
    link_counts: Mapping[PodKey, int]
    """How many links each pod carries; a pod that is not named carries none."""
    loads: Mapping[PodKey, Load] = field(default_factory=dict)
    """The load of each pod that has reported one, be it fresh or stale."""
    load_errors: Mapping[PodKey, str] = field(default_factory=dict)
    """Why a pod's load could not be read at last: the end of a sentence that begins with the pod."""
    lost: Mapping[PodKey, PodLoss] = field(default_factory=dict)
    """The pods that are lost."""

    @property
    def is_workload_known(self) -> bool:
        """Whether its workload was read, or is known not to be there."""
        return self.workload is not None or self.missing_workload is not None

    @property
    def is_workload_gone(self) -> bool:
        """Whether its workload is known not to be there; one that cannot be read may well be."""
        return self.missing_workload is not None and self.missing_workload.reason is RouteReason.WORKLOAD_NOT_FOUND

    def link_count(self, pod: PodKey) -> int:
        """How many links a pod carries."""
        return self.link_counts.get(pod, 0)

    def fresh_load(self, pod: PodKey, now: datetime) -> Load | None:
        """The load of a pod, if it counts at this moment."""
        load = self.loads.get(pod)
        stale_after = self.route.spec.load.stale_after_seconds
        return load if load is not None and load.is_fresh(stale_after, now) else None


#: From the least to the most restrictive.
_BY_RESTRICTION = list[RoutingState](
    [RoutingState.UNKNOWN, RoutingState.READY, RoutingState.DENY_NEW_CALL, RoutingState.SHUTDOWN]
)


def most_restrictive(*states: RoutingState) -> RoutingState:
    """The one of several routing states that holds: Shutdown before DenyNewCall before Ready.

    Where nobody has said anything (Unknown), a pod takes everybody.
    """
    return max((RoutingState.READY, *states), key=_BY_RESTRICTION.index)


def build_route_view(  # noqa: PLR0913, PLR0917 - what belongs to a route
    route: Route,
    workload: Workload | MissingWorkload | None,
    pods: Iterable[Pod],
    nodes: Mapping[str, Node] | None,
    link_counts: Mapping[PodKey, int],
    loads: Mapping[PodKey, Load],
    load_errors: Mapping[PodKey, str],
) -> RouteView:
    """Put a route together with its workload and the workload's pods.

    What is said of a pod by its route, by the route's word on this pod, by the pod's annotation, by its answer to
    the question for its load, and by its deletion (DenyNewCall) is taken together: the most restrictive counts.
    Where nodes are not known (None), none is lost.
    """
    if workload is None or isinstance(workload, MissingWorkload):
        return RouteView(route, None, workload, {}, link_counts, loads, load_errors)
    by_index = {override.index: override.routing_state for override in route.spec.pods}
    by_name = {override.name: override.routing_state for override in route.spec.named_pods}
    views: dict[PodKey, PodView] = {}
    for pod in pods:
        key = workload.pod_key(pod)
        said = [route.spec.routing_state, pod.reported_routing_state, by_name.get(pod.name, RoutingState.UNKNOWN)]
        if isinstance(key, int):
            said.append(by_index.get(key, RoutingState.UNKNOWN))
        if (load := loads.get(key)) is not None:
            said.append(load.routing_state)
        if pod.service_state is ServiceState.TERMINATING:
            said.append(RoutingState.DENY_NEW_CALL)
        views[key] = PodView(
            pod, key, most_restrictive(*said), workload.host(pod), is_on_lost_node=_is_on_lost_node(pod, nodes)
        )
    ordered = {key: views[key] for key in sorted(views, key=pod_sort_key)}
    return RouteView(route, workload, None, ordered, link_counts, loads, load_errors)


def _is_on_lost_node(pod: Pod, nodes: Mapping[str, Node] | None) -> bool:
    """Whether the node that a pod runs on is gone or cannot be reached."""
    if nodes is None or not pod.node_name:
        return False
    node = nodes.get(pod.node_name)
    return node is None or not node.is_ready
