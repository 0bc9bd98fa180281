"""The index of the state store: the routes in use, each with what belongs to it."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from statefulroute.api.vocabulary import LossCause
from statefulroute.controllers.route_pods import RoutePods
from statefulroute.controllers.workload_pods import PodGroup, group_of, groups_of
from statefulroute.domain.keys import PodKey, RouteKey, WorkloadKey
from statefulroute.domain.placement_index import PlacementIndex
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import Route, RouteView
from statefulroute.domain.workload import MissingWorkload, Workload

K = TypeVar("K", bound=Hashable)

_revisions = count(1)


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
        index: finds the pod for a new user in the last view; None before the first one, and while it has few pods.
        is_prepared: whether it was created before this operator led.
        end_causes: why pods end or have ended; those that were deleted and not replaced remain while they have links.
        revision: a number that no other entry has, and that is another one after each change of what the status of the
            route shows, or the annotations of its pods and workload.
    """

    route: Route
    workload: Workload | MissingWorkload | None
    pods: dict[str, Pod]
    members: RoutePods
    view: RouteView | None = None
    last_view: RouteView | None = None
    index: PlacementIndex | None = None
    is_prepared: bool = False
    end_causes: dict[PodKey, LossCause] = field(default_factory=dict)
    revision: int = field(default_factory=_revisions.__next__)

    def touch(self) -> None:
        """Handles a change."""
        self.revision = next(_revisions)

    def replace_view(self, view: RouteView) -> None:
        """Stores a view with the same pods and losses as the last one."""
        self.view = self.last_view = view
        self.touch()
        if self.index is not None:
            self.index.update(view)

    def choice_changed(self, pod: PodKey) -> None:
        """Handles a pod whose links or load have changed, so that another one may be the next user's."""
        self.touch()
        if self.index is not None:
            self.index.pod_changed(pod)

    def key_of(self, pod: Pod) -> PodKey | None:
        """Returns the key of a pod; None unless exactly this pod, by its uid, is one of the route's."""
        member = self.pods.get(pod.name)
        if not isinstance(self.workload, Workload) or member is None or member.uid != pod.uid:
            return None
        return self.workload.pod_key(pod)


#: The entries of one value of an index: most values have one entry, which needs no dict.
_Members = RouteEntry | dict[RouteKey, RouteEntry]


class RouteEntries:
    """Routes in use, by namespace and name, and by the workload and the pods that they follow.

    The iterators go over a copy, so that their callers may add and remove entries.
    """

    def __init__(self) -> None:
        self._entries: dict[RouteKey, RouteEntry] = {}
        self._by_workload: dict[WorkloadKey, _Members] = {}
        self._by_group: dict[PodGroup, _Members] = {}
        """The entries of each group of pods that contains theirs."""
        self._by_node: dict[str, dict[RouteKey, RouteEntry]] = {}
        """The entries that have a pod on each node in their latest view."""
        self._selectors = 0
        """How many entries have pods that a selector selects."""

    def get(self, key: RouteKey) -> RouteEntry | None:
        """Returns the entry of a route."""
        return self._entries.get(key)

    def add(self, entry: RouteEntry) -> None:
        """Adds an entry, in place of the one that the route has."""
        key = entry.route.key
        self.remove(key)
        self._entries[key] = entry
        _add(self._by_workload, entry.route.workload_key, entry)
        if isinstance(entry.workload, Workload):
            self._selectors += entry.workload.selector is not None
            _add(self._by_group, group_of(entry.workload), entry)

    def remove(self, key: RouteKey) -> None:
        """Removes the entry of a route, if it has one."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        _leave(self._by_workload, entry.route.workload_key, key)
        if isinstance(entry.workload, Workload):
            self._selectors -= entry.workload.selector is not None
            _leave(self._by_group, group_of(entry.workload), key)
        for name in entry.members.views.nodes:
            _remove(self._by_node, name, key)

    def view_built(self, entry: RouteEntry) -> None:
        """Handles the nodes of an entry's latest view."""
        key, views = entry.route.key, entry.members.views
        for name in views.changed_nodes:
            if name in views.nodes:
                self._by_node.setdefault(name, {})[key] = entry
            elif key in self._by_node.get(name, ()):
                _remove(self._by_node, name, key)
        views.changed_nodes.clear()

    def routes(self) -> Iterator[RouteKey]:
        """Returns the keys of all routes in use."""
        return iter(tuple(self._entries))

    def concerned_by(self, *pods: Pod) -> Iterator[RouteEntry]:
        """Returns the entries whose pods may be among these."""
        groups = {group: None for pod in pods for group in groups_of(pod, has_selectors=self._selectors > 0)}
        entries = {entry.route.key: entry for group in groups for entry in _members(self._by_group, group)}
        return iter(tuple(entries.values()))

    def of_workload(self, key: WorkloadKey) -> Iterator[RouteEntry]:
        """Returns the entries of the routes to a workload."""
        return iter(_members(self._by_workload, key))

    def on_node(self, name: str) -> Iterator[RouteEntry]:
        """Returns the entries of the routes that have a pod on a node, and lets their pods there change."""
        for entry in tuple(self._by_node.get(name, {}).values()):
            if entry.members.node_changed(name):
                yield entry


def _add(index: dict[K, _Members], value: K, entry: RouteEntry) -> None:
    known = index.get(value)
    if known is None:
        index[value] = entry
    elif isinstance(known, RouteEntry):
        index[value] = {known.route.key: known, entry.route.key: entry}
    else:
        known[entry.route.key] = entry


def _members(index: dict[K, _Members], value: K) -> tuple[RouteEntry, ...]:
    """Returns the entries of a value, as a copy."""
    known = index.get(value)
    if known is None:
        return ()
    return (known,) if isinstance(known, RouteEntry) else tuple(known.values())


def _leave(index: dict[K, _Members], value: K, key: RouteKey) -> None:
    """Removes an entry from an index, which keeps no empty value."""
    known = index[value]
    if isinstance(known, dict):
        del known[key]
    if isinstance(known, RouteEntry) or not known:
        del index[value]


def _remove(index: dict[K, dict[RouteKey, RouteEntry]], value: K, key: RouteKey) -> None:
    """Removes an entry from an index, which keeps no empty value."""
    entries = index[value]
    del entries[key]
    if not entries:
        del index[value]
