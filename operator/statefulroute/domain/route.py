"""A StatefulRoute, its workload and its pods as the rules see them, and whom each pod takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from statefulroute.api.statefulroute import StatefulRouteSpec, StatefulRouteStatus
from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.pod import Node, Pod

#: The one kind of workload whose pods can be routed to now: its API version and its kind.
SUPPORTED_WORKLOAD = ("apps/v1", "StatefulSet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One version of a StatefulRoute."""

    group: str
    """Its namespace."""
    name: str
    resource_version: int
    generation: int
    spec: StatefulRouteSpec
    status: StatefulRouteStatus
    deleting: bool = False

    @property
    def key(self) -> RouteKey:
        """Where it is."""
        return RouteKey(self.group, self.name)

    @property
    def workload_name(self) -> str:
        """The name of its workload: its own name unless it says otherwise."""
        return self.spec.workload_ref.name or self.name

    @property
    def has_supported_workload(self) -> bool:
        """Whether the pods of its kind of workload can be routed to."""
        return (self.spec.workload_ref.api_version, self.spec.workload_ref.kind) == SUPPORTED_WORKLOAD

    @property
    def missing_workload(self) -> str:
        """The sentence about its workload, where there is none that can be routed to."""
        named = f"{self.spec.workload_ref.kind} {self.workload_name!r}"
        if self.has_supported_workload:
            return f"{named} does not exist in namespace {self.group!r}"
        version, kind = SUPPORTED_WORKLOAD
        return f"{named} cannot be routed to: only {kind} of {version} can"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One version of a StatefulSet."""

    group: str
    """Its namespace."""
    name: str
    resource_version: int
    uid: str
    replicas: int
    first_index: int = 0
    """The index of its first pod."""
    service_name: str = ""
    """The headless Service that gives its pods their DNS names; empty where it has none."""

    def owns(self, pod: Pod) -> bool:
        """Whether the pod is one of this workload's, and not of an earlier one of the same name."""
        return pod.owner is not None and pod.owner.uid == self.uid

    def asks_for(self, index: int) -> bool:
        """Whether it wants a pod of this index; one beyond its replicas is not coming back."""
        return self.first_index <= index < self.first_index + self.replicas

    def host(self, pod: Pod) -> str | None:
        """The stable DNS name of one of its pods; None where there is no headless Service."""
        return f"{pod.name}.{self.service_name}.{self.group}.svc" if self.service_name else None


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod of a route, with whom it takes when everything that was said is counted."""

    pod: Pod
    index: int
    routing_state: RoutingState
    host: str | None
    on_lost_node: bool = False

    @property
    def is_present(self) -> bool:
        """Whether it exists or is on its way: neither ended, nor ending, nor on a lost node."""
        return not self.on_lost_node and self.pod.service_state not in (
            ServiceState.TERMINATING,
            ServiceState.FAILED,
        )

    @property
    def is_routable(self) -> bool:
        """Whether it serves its own users: ready and not shut down."""
        return self.pod.service_state is ServiceState.READY and self.routing_state is not RoutingState.SHUTDOWN

    @property
    def is_available(self) -> bool:
        """Whether it takes new users: ready, and its routing state is Ready."""
        return self.pod.service_state is ServiceState.READY and self.routing_state is RoutingState.READY


@dataclass(frozen=True, slots=True)
class Loss:
    """That a pod is lost.

    Attributes:
        why: the end of a sentence that begins with the pod.
        is_over: whether the route's grace is over too; until then the pod is lost only to links that were bound to
            it, and one that was never bound waits for it.
    """

    why: str
    is_over: bool


@dataclass(frozen=True, slots=True)
class RouteView:
    """A route with all that belongs to it, frozen at one moment; only the counts of links go on moving."""

    route: Route
    workload: Workload | None
    pods: Mapping[int, PodView]
    """The workload's pods by index."""
    link_counts: Mapping[int, int]
    """How many links each pod carries; a pod that is not named carries none."""
    lost: Mapping[int, Loss] = field(default_factory=dict)
    """The pods that are lost, by index."""

    def links_on(self, index: int) -> int:
        """How many links the pod of this index carries."""
        return self.link_counts.get(index, 0)


#: From the least to the most restrictive.
_RESTRICTION = list[RoutingState](
    [RoutingState.UNKNOWN, RoutingState.READY, RoutingState.DENY_NEW_CALL, RoutingState.SHUTDOWN]
)


def most_restrictive(*said: RoutingState) -> RoutingState:
    """The one of several routing states that holds: Shutdown before DenyNewCall before Ready.

    Where nobody has said anything (Unknown), a pod takes everybody.
    """
    return max((RoutingState.READY, *said), key=_RESTRICTION.index)


def view_route(
    route: Route,
    workload: Workload | None,
    pods: Mapping[str, Pod],
    nodes: Mapping[str, Node],
    link_counts: Mapping[int, int],
) -> RouteView:
    """Put a route together with its workload and those of the given pods that are the workload's."""
    if workload is None:
        return RouteView(route, None, {}, link_counts)
    overrides = {override.index: override.routing_state for override in route.spec.pods}
    views: dict[int, PodView] = {}
    for pod in pods.values():
        if pod.index is None or not workload.owns(pod):
            continue
        override = overrides.get(pod.index, RoutingState.UNKNOWN)
        said = most_restrictive(route.spec.routing_state, override, pod.said)
        node = nodes.get(pod.node_name)
        on_lost_node = bool(pod.node_name) and (node is None or not node.is_ready)
        views[pod.index] = PodView(pod, pod.index, said, workload.host(pod), on_lost_node)
    return RouteView(route, workload, dict(sorted(views.items())), link_counts)
