"""The state store: the view of every route that is in use, built once and kept until something changes."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from statefulroute.api.vocabulary import LoadSource, RoutingState
from statefulroute.cluster.clock import Clock
from statefulroute.cluster.informers import Informers
from statefulroute.controllers.closing_pods import ClosingPods
from statefulroute.controllers.deadlines import Deadlines
from statefulroute.controllers.entry_pods import EntryPods
from statefulroute.controllers.known_nodes import KnownNodes
from statefulroute.controllers.load_tracker import LoadTracker
from statefulroute.controllers.loss_tracker import LossTracker, UnverifiedListener
from statefulroute.controllers.route_entries import RouteEntries, RouteEntry
from statefulroute.controllers.route_pods import RoutePods
from statefulroute.controllers.route_watchers import PodListener, RouteWatchers, Watcher
from statefulroute.controllers.view_builder import ViewBuilder
from statefulroute.controllers.workload_pods import WorkloadPods
from statefulroute.controllers.workload_routes import WorkloadRoutes
from statefulroute.domain.closing import Closing
from statefulroute.domain.keys import PodKey, RouteKey, WorkloadKey
from statefulroute.domain.load import LoadReport
from statefulroute.domain.loss import AbsentPod
from statefulroute.domain.pod import Node, Pod
from statefulroute.domain.route import Route, RouteView
from statefulroute.domain.workload import Workload

#: A load is checked this long after it became stale, because the clocks of timers and of the day differ a little.
_STALE_MARGIN = timedelta(milliseconds=20)


class RouteStore:
    """The current view of every route.

    The store follows the informers for each route whose view was requested, and calls the watchers of a route when
    its view changes.

    Args:
        informers: the caches of routes, workloads, pods and nodes.
        links_of: returns the live link counts of a route's pods.
        arriving_at: returns how many links are handed over to each of a route's pods, as a live view.
        clock: the time of day.
        monotonic: returns monotonic seconds, by which the grace periods of lost pods run.
        slots_of: returns how many slots each of a route's pods has, as a live view.
        plans_disruptions: whether pods may close. Otherwise, those that a status shows as closing are open.
    """

    def __init__(  # noqa: PLR0913 - all that views depend on
        self,
        informers: Informers,
        links_of: Callable[[RouteKey], Mapping[PodKey, int]],
        arriving_at: Callable[[RouteKey], Mapping[PodKey, int]],
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        slots_of: Callable[[RouteKey], Mapping[PodKey, int]] = lambda _: {},
        plans_disruptions: bool = True,
    ) -> None:
        self._informers = informers
        self._links_of = links_of
        self._arriving_at = arriving_at
        self._clock = clock
        self._workload_routes = WorkloadRoutes()
        self._loads = LoadTracker(self._count_links, clock)
        self._entries = RouteEntries()
        self._closing = ClosingPods(is_switched_off=not plans_disruptions)
        self._workload_pods = WorkloadPods(informers.pods.cache)
        self._pods = EntryPods(self._workload_pods, self._loads)
        self._losses = LossTracker(self._invalidate, clock, monotonic)
        self._nodes = KnownNodes(informers)
        self._staleness_deadlines: Deadlines[RouteKey] = Deadlines(self._check_staleness)
        """When the next load of a route may be stale."""
        self._watchers = RouteWatchers()
        self._views = ViewBuilder(
            links_of, self._other_counts, slots_of, self._loads, self._closing, self._losses, self._watchers
        )
        informers.routes.cache.listen(self._route_changed)
        informers.workloads.listen(self._workload_changed)
        informers.pods.cache.listen(self._pod_changed)
        if informers.nodes is not None:
            informers.nodes.cache.listen(self._node_changed)

    def get(self, key: RouteKey) -> RouteView | None:
        """Returns the view of a route; None where the route does not exist."""
        entry = self._entries.get(key)
        if entry is None:
            route = self._informers.routes.cache.get(*key)
            if route is None:
                return None
            entry = self._create_entry(route)
        if entry.view is None:
            entry.view = self._build_view(entry)
        return entry.view

    def watch(self, key: RouteKey, watcher: Watcher) -> Callable[[], None]:
        """Calls a function at every change of a route's view.

        A watcher that has not requested the view since its last call is not called again.

        Returns:
            A function that removes the watcher.
        """
        return self._watchers.watch(key, watcher)

    def listen_for_pods(self, key: RouteKey, listener: PodListener) -> Callable[[], None]:
        """Calls a function with the changes of pods at each new view of a route; returns one that removes it."""
        return self._watchers.listen_for_pods(key, listener)

    def revision(self, key: RouteKey) -> int | None:
        """Returns a number that changes with all that the status and the annotations of a route depend on.

        Returns:
            None for a route that is not in use.
        """
        entry = self._entries.get(key)
        return None if entry is None else entry.revision

    def status_changed(self, key: RouteKey) -> None:
        """Handles a change of what the status of a route shows besides what this store follows."""
        if (entry := self._entries.get(key)) is not None:
            entry.touch()

    def now(self) -> datetime:
        """Returns the time of day by which decisions are made."""
        return self._clock()

    def watch_all(self, watcher: Callable[[RouteKey], object]) -> None:
        """Calls a function with the key of a route at every change of its view."""
        self._watchers.watch_all(watcher)

    def prepare(self, key: RouteKey) -> bool:
        """Finds what belongs to a route before this operator leads, so that its first view takes less time.

        Nothing is decided or observed before there is a view.

        Returns:
            Whether anything was done; False if nothing has changed, and for a route whose loads or workload are polled.
        """
        route, entry = self._informers.routes.cache.get(*key), self._entries.get(key)
        if route is None:
            return False
        if entry is None:
            if route.spec.load.source is not LoadSource.REPORTED or not route.workload_key.is_stateful_set:
                return False
            entry = self._create_entry(route)
            entry.is_prepared = True
        elif entry.last_view is not None or not entry.members.have_changed:
            return False
        entry.members.update(entry.pods, self._nodes.get)
        self._entries.view_built(entry)
        return True

    def start_term(self) -> None:
        """Forgets what an earlier term of leadership observed of routes, so that this one starts as a new process.

        A pod may have come back and gone again since then, and what was polled may have changed. What was prepared and
        not used yet is up to date.
        """
        self._losses.clear()
        self._closing.clear()
        self._informers.workloads.clear()
        prepared: set[RouteKey] = set()
        for key in self._entries.routes():
            entry = self._entries.get(key)
            if entry is not None and entry.is_prepared and entry.last_view is None:
                prepared.add(key)
            else:
                self._remove_entry(key)
                self._watchers.notify(key)
        self._loads.retain_routes(prepared)
        self._views.clear()

    def pod_count(self, key: RouteKey) -> int:
        """Returns the number of pods of a route in use."""
        entry = self._entries.get(key)
        return 0 if entry is None else len(entry.pods)

    def closing(self, workload: WorkloadKey) -> Mapping[PodKey, Closing]:
        """Returns the pods of a workload that are about to be removed on purpose."""
        return self._closing.of(workload)

    def close_pods(self, workload: WorkloadKey, closing: Mapping[PodKey, Closing]) -> None:
        """Closes pods of a workload for all routes to it, and opens those that closed before."""
        if self._closing.put(workload, closing):
            for entry in self._entries.of_workload(workload):
                entry.members.close(closing)
                self._invalidate(entry.route.key)

    def open_pods(self, workload: WorkloadKey) -> None:
        """Opens all pods of a workload for which no route plans any more."""
        self.close_pods(workload, {})
        self._closing.forget(workload)

    def listen(self, listener: Callable[[RouteView], object]) -> None:
        """Calls a function with each new view of every route, before anything is decided by it."""
        self._watchers.listen(listener)

    def others(self, key: RouteKey) -> tuple[RouteKey, ...]:
        """Returns the other routes to the workload of a route."""
        return self._workload_routes.others(key)

    def routes_to(self, workload: WorkloadKey) -> Collection[Route]:
        """Returns the routes to a workload, by name."""
        cache = self._informers.routes.cache
        routes = (cache.get(*key) for key in self._workload_routes.of(workload))
        return [route for route in routes if route is not None]

    def pods_of(self, workload: Workload) -> Iterable[Pod]:
        """Returns the pods of a workload, also of one that no route refers to any more."""
        return self._workload_pods.of(workload)

    def observe_links(self, key: RouteKey, pod: PodKey) -> None:
        """Handles a pod with more links or fewer.

        If a pod that has links now is absent, its loss has to be noticed from now on.
        """
        for other in self.others(key):
            if (entry := self._entries.get(other)) is not None:
                entry.choice_changed(pod)
        entry = self._entries.get(key)
        if entry is None:
            return
        entry.choice_changed(pod)
        entry.members.links_changed(pod)
        if entry.view is None or self._links_of(key).get(pod) != 1:
            return
        if pod not in entry.view.pods or self._losses.is_absent(key, pod):
            self._invalidate(key)

    def listen_for_losses(self, listener: UnverifiedListener) -> None:
        """Sets the listener for losses to verify: from now on, no loss of a pod with links counts before."""
        self._losses.listen(listener)

    def unverified_losses(self, key: RouteKey) -> Mapping[PodKey, AbsentPod]:
        """Returns the absences of a route's pods to verify."""
        return self._losses.unverified(key)

    def verify_losses(self, key: RouteKey, absences: Mapping[PodKey, AbsentPod]) -> Collection[PodKey]:
        """Lets the losses of pods count that were read from the API server and are still absent for the same reason.

        Returns:
            The pods that are not.
        """
        self.get(key)  # finds the losses in what was read
        verified = self._losses.verify(key, absences)
        if verified:
            self._invalidate(key)
        return absences.keys() - verified

    def observe_load(
        self, key: RouteKey, pod: Pod, report: LoadReport, routing_state: RoutingState = RoutingState.UNKNOWN
    ) -> None:
        """Stores the load of a pod of a route, unless another pod has taken its place."""
        entry = self._entries.get(key)
        if entry is not None and self._pods.observe_load(entry, pod, report, routing_state):
            self._invalidate(key)

    def observe_load_error(self, key: RouteKey, pod: Pod, message: str) -> None:
        """Stores why the load of a pod could not be read. The last load of the pod counts until it is stale."""
        entry = self._entries.get(key)
        if entry is not None and self._pods.observe_load_error(entry, pod, message):
            self._invalidate(key)

    def _create_entry(self, route: Route) -> RouteEntry:
        """Finds what belongs to a route, and follows it from now on."""
        workload = self._informers.workloads.get(route)
        closing = self._closing.of(route.workload_key)
        members = RoutePods(route, workload, self._loads.loads_of(route.key), self._clock(), closing)
        entry = RouteEntry(route, workload, {}, members)
        self._entries.add(entry)
        self._pods.read(entry)
        return entry

    def _build_view(self, entry: RouteEntry) -> RouteView:
        """Builds the next view of a route from the last one, and from the pods that have changed since."""
        now = self._clock()
        if entry.last_view is None:
            workload_key = entry.route.workload_key
            entry.members.close(self._closing.restore(workload_key, self.routes_to(workload_key), now))
        changed, former = entry.members.update(entry.pods, self._nodes.get)
        if entry.last_view is None:  # all pods are new, also if they were prepared
            changed, former = None, {}
            self._pods.read_status(entry)
        self._entries.view_built(entry)
        entry.members.fresh.advance(now)
        self._schedule_staleness_check(entry, now)
        return self._views.build(entry, former, changed, now)

    def _other_counts(self, route: Route) -> tuple[Mapping[PodKey, int], ...]:
        """Returns the live counts of the users that the pods of a route have, or will have, besides its links."""
        others = self.others(route.key)
        counts = [self._links_of(other) for other in others] + [self._arriving_at(other) for other in others]
        if route.spec.hand_over is not None:
            counts.append(self._arriving_at(route.key))
        return tuple(counts)

    def _count_links(self, route: RouteKey, pod: PodKey) -> int:
        """Returns the number of links of a pod in all routes to its workload."""
        return sum(self._links_of(key).get(pod, 0) for key in (route, *self.others(route)))

    def _schedule_staleness_check(self, entry: RouteEntry, now: datetime) -> None:
        """Checks the loads when the first of them may be stale; most pods will have reported again by then."""
        next_check = entry.members.fresh.next_check()
        if next_check is None:
            self._staleness_deadlines.cancel(entry.route.key)
        else:
            self._staleness_deadlines.set(entry.route.key, (next_check + _STALE_MARGIN - now).total_seconds())

    def _check_staleness(self, key: RouteKey) -> None:
        entry = self._entries.get(key)
        if entry is None or entry.view is None:
            return
        now = self._clock()
        if entry.members.fresh.advance(now):
            self._invalidate(key)
        else:
            self._schedule_staleness_check(entry, now)

    def _route_changed(self, old: Route | None, new: Route | None) -> None:
        route = new or old
        if route is None:
            return
        for other in self._workload_routes.update(old, new):
            self._rebuild(other)
        entry = self._entries.get(route.key)
        if old and new and old.decision_inputs == new.decision_inputs:
            if entry is not None:  # a status changes no decision
                entry.route = new
                if entry.view is not None:
                    entry.replace_view(replace(entry.view, route=new))
            return
        if old and new:
            self._losses.observe_confirmation(old, new)
        if new is None:
            self._losses.forget(route.key)
        if new is None or (old and old.spec.load.source is not new.spec.load.source):
            self._loads.forget_route(route.key)
        self._remove_entry(route.key)
        if new is None:
            self._views.forget(route.key)
        self._watchers.notify(route.key)

    def _workload_changed(self, key: WorkloadKey) -> None:
        for entry in self._entries.of_workload(key):
            old, new = entry.workload, self._informers.workloads.get(entry.route)
            if isinstance(old, Workload) and isinstance(new, Workload) and old.decision_inputs == new.decision_inputs:
                entry.workload = new  # its status, or annotations that the operator wrote, have changed
                if entry.view is not None:
                    entry.replace_view(replace(entry.view, workload=new))
            elif old != new:
                self._remove_entry(entry.route.key)
                if entry.view is not None:
                    self._watchers.notify(entry.route.key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pods = (pod for pod in (old, new) if pod is not None)
        for entry in self._entries.concerned_by(*pods):
            if isinstance(entry.workload, Workload) and self._pods.update(entry, entry.workload, old, new):
                self._invalidate(entry.route.key)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if (name := self._nodes.observe(old, new)) is not None:
            for entry in self._entries.on_node(name):
                self._invalidate(entry.route.key)

    def _remove_entry(self, key: RouteKey) -> None:
        entry = self._entries.get(key)
        if entry is not None:
            self._views.keep_view(entry)
        self._entries.remove(key)
        self._losses.cancel(key)
        self._staleness_deadlines.cancel(key)

    def _rebuild(self, key: RouteKey) -> None:
        """Lets the view of a route be built from scratch."""
        if (entry := self._entries.get(key)) is not None:
            entry.members.rebuild()
        self._invalidate(key)

    def _invalidate(self, key: RouteKey) -> None:
        """Drops the view of a route; watchers that have requested it since the last change are called."""
        entry = self._entries.get(key)
        if entry is not None and entry.view is not None:
            entry.view = None
            entry.touch()
            self._watchers.notify(key)
