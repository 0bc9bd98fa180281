"""The index of the state store: the routes in use, each with what belongs to it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from statefulroute.api.vocabulary import LossCause
from statefulroute.controllers.route_pods import RoutePods
from statefulroute.domain.keys import PodKey, RouteKey, WorkloadKey
from statefulroute.domain.placement_index import PlacementIndex
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import MissingWorkload, Route, RouteView, Workload


@dataclass(slots=True)
class RouteEntry:
    """A route in use. It is kept up to date with every change of the route, its workload and its pods.

    Attributes:
        route: the route.
        workload: its workload, or why there is none; None before it was read.
        pods: the workload's pods by name.
        members: the same pods, as decisions use them.
        view: the view that decisions use; None where it has to be built.
        last_view: the last view that was built; its pods follow the changes.
        index: finds the pod for a new user in the last view; None before the first one.
        end_causes: why pods end or have ended; those that were deleted and not replaced remain while they have links.
    """

    route: Route
    workload: Workload | MissingWorkload | None
    pods: dict[str, Pod]
    members: RoutePods
    view: RouteView | None = None
    last_view: RouteView | None = None
    index: PlacementIndex | None = None
    end_causes: dict[PodKey, LossCause] = field(default_factory=dict)

    def replace_view(self, view: RouteView) -> None:
        """Stores a view with the same pods and losses as the last one."""
        self.view = self.last_view = view
        if self.index is not None:
            self.index.update(view)

    def choice_changed(self, pod: PodKey) -> None:
        """Handles a pod whose links or load have changed, so that another one may be the next user's."""
        if self.index is not None:
            self.index.pod_changed(pod)

    def key_of(self, pod: Pod) -> PodKey | None:
        """Returns the key of a pod; None unless exactly this pod, by its uid, is one of the route's."""
        member = self.pods.get(pod.name)
        if not isinstance(self.workload, Workload) or member is None or member.uid != pod.uid:
            return None
        return self.workload.pod_key(pod)


class RouteEntries:
    """Routes in use, by namespace and name.

    The iterators go over a copy, so that their callers may add and remove entries.
    """

    def __init__(self) -> None:
        self._by_namespace: dict[str, dict[str, RouteEntry]] = {}

    def get(self, key: RouteKey) -> RouteEntry | None:
        """Returns the entry of a route."""
        return self._by_namespace.get(key.namespace, {}).get(key.name)

    def add(self, entry: RouteEntry) -> None:
        """Adds an entry, in place of the one that the route has."""
        self._by_namespace.setdefault(entry.route.namespace, {})[entry.route.name] = entry

    def remove(self, key: RouteKey) -> None:
        """Removes the entry of a route, if it has one."""
        in_namespace = self._by_namespace.get(key.namespace, {})
        in_namespace.pop(key.name, None)
        if not in_namespace:
            self._by_namespace.pop(key.namespace, None)

    def routes(self) -> Iterator[RouteKey]:
        """Returns the keys of all routes in use."""
        return iter([entry.route.key for entries in self._by_namespace.values() for entry in entries.values()])

    def in_namespace(self, namespace: str) -> Iterator[RouteEntry]:
        """Returns the entries of a namespace."""
        return iter(tuple(self._by_namespace.get(namespace, {}).values()))

    def of_workload(self, key: WorkloadKey) -> Iterator[RouteEntry]:
        """Returns the entries of the routes to a workload."""
        return (entry for entry in self.in_namespace(key.namespace) if entry.route.workload_key == key)

    def on_node(self, name: str) -> Iterator[RouteEntry]:
        """Returns the entries of the routes that have a pod on a node, and lets their pods there change."""
        for namespace in tuple(self._by_namespace):
            for entry in self.in_namespace(namespace):
                if entry.members.node_changed(name):
                    yield entry
