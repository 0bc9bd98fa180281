"""The pods of one route in use: which of them have changed since its last view, and the next view of them."""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime

from statefulroute.domain.closing import Closing
from statefulroute.domain.fresh_loads import FreshLoads
from statefulroute.domain.keys import PodKey
from statefulroute.domain.load import Load
from statefulroute.domain.pod import Node, Pod
from statefulroute.domain.pod_views import PodRules, PodViews
from statefulroute.domain.route import PodView, Route, RouteView
from statefulroute.domain.slots.placement import takes_no_new_users
from statefulroute.domain.workload import MissingWorkload, Workload


@dataclass(frozen=True, slots=True)
class PodChanges:
    """What distinguishes the pods of two views of a route.

    Attributes:
        changed: the pods that have changed, appeared or vanished, or whose loss has.
        appeared: the pods that exist since, that have another host, that have begun to hand their users over, or to
            give their slots to others, or that are lost, or lost for another reason.
    """

    changed: AbstractSet[PodKey]
    appeared: AbstractSet[PodKey]


class RoutePods:
    """Keeps the pods of a route's view, and replaces those that have changed.

    Args:
        route: the route.
        workload: its workload, or why there is none.
        loads: the last load of each pod, as a live view.
        now: the current time.
        closing: the pods that are about to be removed on purpose.
    """

    __slots__ = ("_changed", "_closing", "_is_built", "_loads", "_recounted", "_rules", "_workload", "fresh", "views")

    def __init__(
        self,
        route: Route,
        workload: Workload | MissingWorkload | None,
        loads: Mapping[PodKey, Load],
        now: datetime,
        closing: Mapping[PodKey, Closing],
    ) -> None:
        self._workload = workload if isinstance(workload, Workload) else None
        self._rules = None if self._workload is None else PodRules(route, self._workload)
        self._loads = loads
        self._closing = closing
        self._changed: dict[PodKey, str] = {}
        """The pods that have changed since the last view, each with its name."""
        self._recounted: dict[PodKey, None] = {}
        """The pods whose links were counted again since the last view."""
        self._is_built = False
        self.views = PodViews(self._workload)
        self.fresh = FreshLoads(loads, route.spec.load.stale_after_seconds, now)

    def pod_changed(self, key: PodKey, name: str) -> None:
        """Handles a pod that has changed, appeared or vanished, or whose node or load has changed."""
        self._changed[key] = name

    def node_changed(self, name: str) -> bool:
        """Handles a node that has changed; returns whether a pod of the last view is on it."""
        pods = self.views.on_node(name)
        for key in pods:
            self._changed[key] = self.views[key].pod.name
        return bool(pods)

    @property
    def have_changed(self) -> bool:
        """Whether the next view may differ from the last one."""
        return bool(self._changed or self._recounted)

    def rebuild(self) -> None:
        """Lets the next view be built from scratch."""
        self._is_built = False

    def close(self, closing: Mapping[PodKey, Closing]) -> None:
        """Handles other closing pods than before."""
        for key, _ in closing.items() ^ self._closing.items():
            if (pod := self.views.get(key)) is not None:
                self._changed[key] = pod.pod.name
        self._closing = closing

    def links_changed(self, key: PodKey) -> None:
        """Handles a pod that has more links or fewer."""
        self._recounted[key] = None

    def update(
        self, pods: Mapping[str, Pod], node_of: Callable[[str], Node | None]
    ) -> tuple[AbstractSet[PodKey] | None, Mapping[PodKey, PodView | None]]:
        """Brings the views of the pods up to date.

        Args:
            pods: the pods of the workload by name.
            node_of: returns a node that is known.

        Returns:
            The pods that may differ from the last view, also in whether they have links, and the former view of each
            pod that was replaced. The former are None if all pods may differ.
        """
        changed, recounted, was_built = self._changed, self._recounted, self._is_built
        self._changed, self._recounted, self._is_built = {}, {}, True
        if was_built:
            former = {key: self.views.get(key) for key in changed}
            for key, name in changed.items():
                self._replace(key, pods.get(name), node_of)
            if len(self.views) == len(pods):
                return recounted.keys() | changed.keys(), former
        # The first view; or two pods have the same key, and only one of them is in the view.
        all_former, former_nodes = dict[PodKey, PodView | None](self.views), self.views.nodes
        self.views = PodViews(self._workload, self._view_all(pods.values(), node_of))
        self.views.changed_nodes.extend(former_nodes)
        return None, all_former

    def _replace(self, key: PodKey, pod: Pod | None, node_of: Callable[[str], Node | None]) -> None:
        if pod is None or self._rules is None:
            self.views.drop(key)
        else:
            self.views.put(self._rules.view(pod, node_of(pod.node_name), self._loads.get(key), self._closing.get(key)))

    def _view_all(self, pods: Iterable[Pod], node_of: Callable[[str], Node | None]) -> Iterable[PodView]:
        if self._workload is None or self._rules is None:
            return
        for pod in pods:
            key = self._workload.pod_key(pod)
            yield self._rules.view(pod, node_of(pod.node_name), self._loads.get(key), self._closing.get(key))


def compare_pods(
    former: Mapping[PodKey, PodView | None], old: RouteView | None, new: RouteView, *, is_complete: bool
) -> PodChanges:
    """Compares the pods and losses of two views.

    Args:
        former: the former view of each pod that was replaced.
        old: the former view of the route. Its pods may be the present ones.
        new: the present view of the route.
        is_complete: whether `former` contains all former pods.
    """
    changed, appeared = set[PodKey](), set[PodKey]()
    for key in former.keys() | new.pods.keys() if is_complete else former:
        before, after = former.get(key), new.pods.get(key)
        if before != after:
            changed.add(key)
        if after is None:
            continue
        if (
            before is None
            or before.host != after.host
            or (after.is_handing_over and not before.is_handing_over)
            or (new.route.spec.slots is not None and _leaves_slots(before, after))
        ):
            appeared.add(key)
    lost, withheld = (old.lost, old.withheld_losses) if old is not None else ({}, {})
    now_lost = {key for key, _ in new.lost.items() - lost.items()}
    changed |= now_lost | (lost.keys() - new.lost.keys())
    changed |= {key for key, _ in new.withheld_losses.items() ^ withheld.items()}
    return PodChanges(changed, appeared | now_lost)


def _leaves_slots(before: PodView, after: PodView) -> bool:
    """Returns whether the slots of a pod have to leave it now."""
    return after.is_routable and takes_no_new_users(after) and not (before.is_routable and takes_no_new_users(before))
