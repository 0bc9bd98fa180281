"""The pods of a route: each with its routing state, and totals over all of them that are updated pod by pod."""

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from statefulroute.api.vocabulary import LossCause, RoutingState, ServiceState
from statefulroute.domain.closing import Closing
from statefulroute.domain.keys import PodKey, pod_sort_key
from statefulroute.domain.load import Load
from statefulroute.domain.pod import Node, Pod
from statefulroute.domain.pod_sets import NO_PODS, add_pod, remove_pod
from statefulroute.domain.route import PodView, Route
from statefulroute.domain.workload import Workload

#: From the least to the most restrictive.
_BY_RESTRICTION = list[RoutingState](
    [RoutingState.UNKNOWN, RoutingState.READY, RoutingState.DENY_NEW_CALL, RoutingState.SHUTDOWN]
)


def most_restrictive(*states: RoutingState) -> RoutingState:
    """Returns the most restrictive of routing states: Shutdown before DenyNewCall before Ready.

    Unknown counts as Ready.
    """
    return max((RoutingState.READY, *states), key=_BY_RESTRICTION.index)


_NO_OVERRIDES: Mapping[PodKey, RoutingState] = {}


class PodRules:
    """What the spec of a route and its workload state about each pod.

    Args:
        route: the route.
        workload: its workload.
    """

    __slots__ = ("_by_index", "_by_name", "_closes_on_drain", "_hands_over", "_routing_state", "_workload")

    def __init__(self, route: Route, workload: Workload) -> None:
        self._routing_state = route.spec.routing_state
        self._workload = workload
        self._closes_on_drain = route.spec.disruption is not None
        self._hands_over = route.hands_users_over
        self._by_index, self._by_name = _NO_OVERRIDES, _NO_OVERRIDES
        if route.spec.pods:
            self._by_index = {override.index: override.routing_state for override in route.spec.pods}
        if route.spec.named_pods:
            self._by_name = {override.name: override.routing_state for override in route.spec.named_pods}

    def view(self, pod: Pod, node: Node | None, load: Load | None, closing: Closing | None = None) -> PodView:
        """Returns a pod with its routing state.

        It is the most restrictive of those from the route, from the route's override for the pod, from the pod's
        annotation, from the response to the operator's poll of the load, and from the deletion of the pod, its index
        beyond the replicas, or that it is closing (DenyNewCall; after the deadline Shutdown). If the route shuts this
        pod down and hands users over, the state is DenyNewCall while the pod can do so.

        Args:
            pod: the pod.
            node: its node; None if it is not known, so that it does not count as lost.
            load: the last load that the pod reported, fresh or stale.
            closing: why the pod is about to be removed on purpose; None if it is not.
        """
        workload, key = self._workload, self._workload.pod_key(pod)
        states = [self._routing_state, self._by_name.get(pod.name, RoutingState.UNKNOWN)]
        if isinstance(key, int):
            states.append(self._by_index.get(key, RoutingState.UNKNOWN))
        if closing is not None:
            states.append(RoutingState.SHUTDOWN if closing.is_over else RoutingState.DENY_NEW_CALL)
        is_shut_down_by_route = RoutingState.SHUTDOWN in states
        reported = [pod.reported_routing_state]
        if load is not None:
            reported.append(load.routing_state)
        is_handing_over = (
            is_shut_down_by_route
            and self._hands_over
            and RoutingState.SHUTDOWN not in reported
            and pod.is_ready
            and _node_loss(node) is None
            and pod.service_state is not ServiceState.FAILED
        )
        if is_handing_over:
            states = [RoutingState.DENY_NEW_CALL]
        states += reported
        if pod.service_state is ServiceState.TERMINATING or not workload.wants(key):
            states.append(RoutingState.DENY_NEW_CALL)
        return PodView(
            pod,
            key,
            most_restrictive(*states),
            workload.host(pod),
            node_loss=_node_loss(node),
            is_shut_down_by_route=is_shut_down_by_route,
            is_on_drained_node=self._closes_on_drain and node is not None and node.is_drained,
            is_handing_over=is_handing_over,
        )


def _node_loss(node: Node | None) -> LossCause | None:
    """Returns why a node is lost; None if it is not.

    An unknown node is not lost: pods and nodes are watched separately, so a pod may be seen before its new node.
    """
    if node is None or (node.is_ready and not node.is_deleted):
        return None
    return LossCause.NODE_GONE if node.is_deleted else LossCause.NODE_NOT_READY


@dataclass(slots=True)
class _NodePods:
    """The pods on one node.

    Attributes:
        keys: all of them.
        counted: how many of them count where lost nodes are counted.
        lost: how many of those show that the node is lost.
    """

    keys: AbstractSet[PodKey] = NO_PODS
    counted: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class NodeCounts:
    """How many nodes carry pods of a route, and how many of these are lost."""

    total: int
    lost: int


class PodViews(dict[PodKey, PodView]):
    """The pods of a route in the order of their keys.

    Args:
        workload: the workload of the pods; None if it is not known, and no totals are needed.
        pods: the pods.
    """

    def __init__(self, workload: Workload | None = None, pods: Iterable[PodView] = ()) -> None:
        super().__init__()
        self._workload = workload
        self._is_sorted = True
        self._nodes: dict[str, _NodePods] = {}
        self.changed_nodes: list[str] = []
        """The nodes that may have their first pod, or no pod any more, since this list was last cleared."""
        self._counted_nodes = self._lost_nodes = 0
        self.ready = 0
        """How many pods are ready."""
        self.wanted = 0
        """How many pods are not surplus."""
        for pod in pods:
            self.put(pod)

    def put(self, pod: PodView) -> None:
        """Stores a pod in place of the one with its key."""
        if (old := self.get(pod.key)) is None:
            self._is_sorted = False
        else:
            self._count(old, -1)
        self[pod.key] = pod
        self._count(pod, 1)

    def drop(self, key: PodKey) -> None:
        """Removes a pod if it is there."""
        if (old := self.pop(key, None)) is not None:
            self._count(old, -1)

    @property
    def nodes(self) -> AbstractSet[str]:
        """The nodes that carry pods."""
        return self._nodes.keys()

    def on_node(self, name: str) -> AbstractSet[PodKey]:
        """Returns the pods on a node."""
        node = self._nodes.get(name)
        return node.keys if node is not None else frozenset()

    def count_nodes(self, without: Iterable[PodKey]) -> NodeCounts:
        """Counts the nodes that carry pods, and those of them that are lost.

        Pods that have failed do not count, and without an index also those that Kubernetes evicts from lost nodes:
        they stay in Terminating.

        Args:
            without: the pods that do not count, either.
        """
        total, lost = self._counted_nodes, self._lost_nodes
        left_out: dict[str, tuple[int, int]] = {}
        for key in without:
            if (pod := self.get(key)) is not None and self._counts_for_node(pod):
                counted, counted_lost = left_out.get(pod.pod.node_name, (0, 0))
                left_out[pod.pod.node_name] = (counted + 1, counted_lost + pod.is_on_lost_node)
        for name, (counted, counted_lost) in left_out.items():
            node = self._nodes[name]
            total -= node.counted == counted
            lost -= bool(node.lost) and node.lost == counted_lost
        return NodeCounts(total, lost)

    def __iter__(self) -> Iterator[PodKey]:
        self._sort()
        return super().__iter__()

    def keys(self) -> "KeysView[PodKey]":  # type: ignore[override]
        """Returns the keys in order."""
        self._sort()
        return super().keys()

    def values(self) -> "ValuesView[PodView]":  # type: ignore[override]
        """Returns the pods in order."""
        self._sort()
        return super().values()

    def items(self) -> "ItemsView[PodKey, PodView]":  # type: ignore[override]
        """Returns the keys and pods in order."""
        self._sort()
        return super().items()

    def _sort(self) -> None:
        """Sorts the pods if one was added since the last time."""
        if self._is_sorted:
            return
        self._is_sorted = True
        pods = sorted(super().items(), key=lambda item: pod_sort_key(item[0]))
        self.clear()
        self.update(pods)

    def _counts_for_node(self, pod: PodView) -> bool:
        state, workload = pod.pod.service_state, self._workload
        is_indexed = workload is None or workload.is_indexed
        has_left = state is ServiceState.FAILED or (state is ServiceState.TERMINATING and not is_indexed)
        return bool(pod.pod.node_name) and not has_left

    def _count(self, pod: PodView, number: int) -> None:
        """Adds a pod to the totals, or subtracts it."""
        self.ready += number * pod.pod.is_ready
        self.wanted += number * (self._workload is None or self._workload.wants(pod.key))
        if not (name := pod.pod.node_name):
            return
        if (node := self._nodes.get(name)) is None:
            node = self._nodes[name] = _NodePods()
            self.changed_nodes.append(name)
        node.keys = add_pod(node.keys, pod.key) if number > 0 else remove_pod(node.keys, pod.key)
        if self._counts_for_node(pod):
            was_counted, was_lost = bool(node.counted), bool(node.lost)
            node.counted += number
            node.lost += number * pod.is_on_lost_node
            self._counted_nodes += bool(node.counted) - was_counted
            self._lost_nodes += bool(node.lost) - was_lost
        if not node.keys:
            del self._nodes[name]
            self.changed_nodes.append(name)


def totals_of(pods: Mapping[PodKey, PodView], workload: Workload | None) -> PodViews:
    """Returns pods with their totals."""
    return pods if isinstance(pods, PodViews) else PodViews(workload, pods.values())
