"""Builds the views of routes in use."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime

from statefulroute.controllers.closing_pods import ClosingPods
from statefulroute.controllers.load_tracker import LoadTracker
from statefulroute.controllers.loss_tracker import LossTracker
from statefulroute.controllers.route_entries import RouteEntry
from statefulroute.controllers.route_pods import compare_pods
from statefulroute.controllers.route_watchers import RouteWatchers
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.placement import has_tiers
from statefulroute.domain.placement_index import PlacementIndex
from statefulroute.domain.route import PodView, Route, RouteView
from statefulroute.domain.workload import MissingWorkload, Workload

#: Up to so many pods, a choice looks at each of them. That takes no longer than an index, which needs 3 KB a route.
_MAX_SCANNED_PODS = 4


class ViewBuilder:
    """Builds the next view of a route, and passes it on to its listeners.

    Args:
        links_of: returns the live link counts of a route's pods.
        other_counts_of: returns the live counts of the users that the pods of a route have besides its links.
        slots_of: returns how many slots each of a route's pods has, as a live view.
        loads: the loads of pods.
        closing: the pods that are about to be removed on purpose.
        losses: the losses of pods.
        watchers: the listeners.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that views depend on
        self,
        links_of: Callable[[RouteKey], Mapping[PodKey, int]],
        other_counts_of: Callable[[Route], tuple[Mapping[PodKey, int], ...]],
        slots_of: Callable[[RouteKey], Mapping[PodKey, int]],
        loads: LoadTracker,
        closing: ClosingPods,
        losses: LossTracker,
        watchers: RouteWatchers,
    ) -> None:
        self._links_of = links_of
        self._other_counts_of = other_counts_of
        self._slots_of = slots_of
        self._loads = loads
        self._closing = closing
        self._losses = losses
        self._watchers = watchers
        self._former_views: dict[RouteKey, RouteView] = {}
        """The last view of each route that has pod listeners, and whose view is built again from scratch."""

    def build(
        self,
        entry: RouteEntry,
        former: Mapping[PodKey, PodView | None],
        changed: AbstractSet[PodKey] | None,
        now: datetime,
    ) -> RouteView:
        """Builds the view of an entry.

        Args:
            entry: the entry, whose pods are up to date.
            former: the pods that have changed since the last view, as they were then.
            changed: the keys of these pods; None if every pod may differ.
            now: the current time.
        """
        view = self._gather(entry)
        if entry.end_causes:
            kept = {pod: cause for pod, cause in entry.end_causes.items() if pod in view.pods or view.link_count(pod)}
            entry.end_causes = kept
        index = entry.index
        if has_tiers(view):
            index = None
        elif index is None or changed is None:
            index = PlacementIndex(view, now) if len(view.pods) > _MAX_SCANNED_PODS else None
        view = self._losses.evaluate(replace(view, end_causes=entry.end_causes, index=index), changed)
        self._watchers.view_built(view)
        entry.index = index
        self._pods_changed(entry, view, former, changed)
        entry.last_view = view
        return view

    def keep_view(self, entry: RouteEntry) -> None:
        """Keeps the last view of an entry that is removed: the first view of the next entry is compared with it."""
        if entry.last_view is not None and self._watchers.has_pod_listener(entry.route.key):
            self._former_views[entry.route.key] = entry.last_view

    def forget(self, key: RouteKey) -> None:
        """Forgets a route that is deleted."""
        self._former_views.pop(key, None)

    def clear(self) -> None:
        """Forgets all routes."""
        self._former_views.clear()

    def _gather(self, entry: RouteEntry) -> RouteView:
        route, workload = entry.route, entry.workload
        return RouteView(
            route,
            workload if isinstance(workload, Workload) else None,
            workload if isinstance(workload, MissingWorkload) else None,
            entry.members.views,
            self._links_of(route.key),
            self._loads.loads_of(route.key),
            self._loads.errors_of(route.key),
            other_link_counts=self._other_counts_of(route),
            closing=self._closing.of(route.workload_key),
            slot_counts={} if route.spec.slots is None else self._slots_of(route.key),
        )

    def _pods_changed(
        self,
        entry: RouteEntry,
        view: RouteView,
        former: Mapping[PodKey, PodView | None],
        changed: AbstractSet[PodKey] | None,
    ) -> None:
        """Updates the index, and calls the listeners for the pods of a route, with what differs from the last view."""
        key, last_view = entry.route.key, entry.last_view
        if last_view is None and (last_view := self._former_views.pop(key, None)) is not None:
            former = last_view.pods
        changes = compare_pods(former, last_view, view, is_complete=changed is None)
        if entry.index is not None:
            entry.index.update(view, changes.changed if changed is None else changes.changed | changed)
        self._watchers.pods_changed(key, changes)
