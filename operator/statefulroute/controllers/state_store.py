"""The state store: the view of every route that is in use, built once and kept until something changes."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime

import msgspec

from statefulroute.api.vocabulary import LoadSource, RoutingState
from statefulroute.cluster.clock import Clock
from statefulroute.cluster.informers import Informers
from statefulroute.controllers.deadlines import Deadlines
from statefulroute.controllers.load_tracker import LoadTracker, next_staleness_check, pods_with_fresh_load
from statefulroute.controllers.loss_tracker import LossTracker, UnverifiedListener
from statefulroute.controllers.route_entries import RouteEntries, RouteEntry
from statefulroute.controllers.workload_routes import WorkloadRoutes
from statefulroute.domain.keys import PodKey, RouteKey, WorkloadKey
from statefulroute.domain.load import LoadReport
from statefulroute.domain.loss import AbsentPod, end_cause
from statefulroute.domain.lost_pods import lost_pod_causes
from statefulroute.domain.pod import Node, Pod
from statefulroute.domain.route import Route, RouteView, Workload, build_route_view

#: How many deleted nodes are remembered. Kubernetes deletes the pods of a deleted node within minutes.
_MAX_DELETED_NODES = 1_000

#: Called when a route, its workload or one of its pods has changed in a way that may change a decision.
Watcher = Callable[[], None]


class RouteStore:
    """The current view of every route.

    The store follows the informers for each route whose view was requested, and calls the watchers of a route when
    its view changes.

    Args:
        informers: the caches of routes, workloads, pods and nodes.
        links_of: returns the live link counts of a route's pods.
        clock: the time of day.
        monotonic: returns monotonic seconds, by which the grace periods of lost pods run.
    """

    def __init__(
        self,
        informers: Informers,
        links_of: Callable[[RouteKey], Mapping[PodKey, int]],
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._informers = informers
        self._links_of = links_of
        self._clock = clock
        self._workload_routes = WorkloadRoutes()
        self._loads = LoadTracker(self._count_links, clock)
        self._entries = RouteEntries()
        self._losses = LossTracker(self._invalidate, clock, monotonic)
        self._deleted_nodes: dict[str, Node] = {}
        """The nodes that were deleted while the operator ran, the latest last."""
        self._staleness_deadlines: Deadlines[RouteKey] = Deadlines(self._check_staleness)
        """When the next load of a route may be stale."""
        self._watchers: dict[RouteKey, list[Watcher]] = {}
        self._listeners: list[Callable[[RouteView], object]] = []
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
        watchers = self._watchers.setdefault(key, [])
        watchers.append(watcher)

        def unwatch() -> None:
            watchers.remove(watcher)
            if not watchers and self._watchers.get(key) is watchers:
                del self._watchers[key]

        return unwatch

    def start_term(self) -> None:
        """Forgets what an earlier term of leadership observed of routes, so that this one starts as a new process.

        A pod may have come back and gone again since then, and what was polled may have changed.
        """
        self._losses.clear()
        self._loads.clear()
        self._informers.workloads.clear()
        for key in self._entries.routes():
            self._remove_entry(key)
            self._notify(key)

    def listen(self, listener: Callable[[RouteView], object]) -> None:
        """Calls a function with each new view of every route, before anything is decided by it."""
        self._listeners.append(listener)

    def others(self, key: RouteKey) -> tuple[RouteKey, ...]:
        """Returns the other routes to the workload of a route."""
        return self._workload_routes.others(key)

    def observe_first_link(self, key: RouteKey, pod: PodKey) -> None:
        """Handles the first link of a pod: if the pod is absent, its loss has to be noticed from now on."""
        entry = self._entries.get(key)
        if entry is None or entry.view is None:
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
        if entry is None or (pod_key := entry.key_of(pod)) is None:
            return
        if self._loads.observe(entry.route, pod_key, pod, report, routing_state):
            self._invalidate(key)

    def observe_load_error(self, key: RouteKey, pod: Pod, message: str) -> None:
        """Stores why the load of a pod could not be read. The last load of the pod counts until it is stale."""
        entry = self._entries.get(key)
        if entry is None or (pod_key := entry.key_of(pod)) is None:
            return
        if self._loads.observe_error(key, pod_key, pod, message):
            self._invalidate(key)

    def _create_entry(self, route: Route) -> RouteEntry:
        """Finds what belongs to a route, and follows it from now on."""
        workload = self._informers.workloads.get(route)
        entry = RouteEntry(route, workload, {})
        self._entries.add(entry)
        self._loads.restore(route.key, route.status.pods)
        if isinstance(workload, Workload):
            pods = self._informers.pods.cache.in_partition(route.namespace).values()
            entry.pods = {pod.name: pod for pod in pods if workload.owns(pod)}
            members = {workload.pod_key(pod): pod for pod in entry.pods.values()}
            self._loads.retain(route.key, {key: pod.uid for key, pod in members.items()})
            for key, pod in members.items():
                self._loads.observe_annotations(route, key, pod)
                if route.spec.load.source is LoadSource.HTTP:
                    self._loads.restore_stale(route.key, key, pod)
            causes = lost_pod_causes(route.status)
            entry.end_causes = {key: cause for key, cause in causes.items() if key not in members}
        return entry

    def _build_view(self, entry: RouteEntry) -> RouteView:
        key, now = entry.route.key, self._clock()
        view = build_route_view(
            entry.route,
            entry.workload,
            entry.pods.values(),
            self._nodes_of(entry),
            self._links_of(key),
            self._loads.loads_of(key),
            self._loads.errors_of(key),
            [self._links_of(other) for other in self.others(key)],
        )
        entry.fresh = pods_with_fresh_load(view, now)
        self._schedule_staleness_check(view, entry.fresh, now)
        entry.end_causes = {
            pod: cause for pod, cause in entry.end_causes.items() if pod in view.pods or view.link_count(pod)
        }
        view = self._losses.evaluate(replace(view, end_causes=entry.end_causes))
        for listener in self._listeners:
            listener(view)
        return view

    def _nodes_of(self, entry: RouteEntry) -> Mapping[str, Node] | None:
        """Returns the known nodes of a route's pods, with those that were deleted; None if nodes are not watched."""
        nodes = self._informers.nodes_by_name
        if nodes is None:
            return None
        names = {pod.node_name for pod in entry.pods.values()}
        return {name: node for name in names if (node := nodes.get(name) or self._deleted_nodes.get(name))}

    def _count_links(self, route: RouteKey, pod: PodKey) -> int:
        """Returns the number of links of a pod in all routes to its workload."""
        return sum(self._links_of(key).get(pod, 0) for key in (route, *self.others(route)))

    def _schedule_staleness_check(self, view: RouteView, fresh: frozenset[PodKey], now: datetime) -> None:
        """Checks the loads when the first of them may be stale; most pods will have reported again by then."""
        seconds = next_staleness_check(view, fresh, now)
        if seconds is None:
            self._staleness_deadlines.cancel(view.route.key)
        else:
            self._staleness_deadlines.set(view.route.key, seconds)

    def _check_staleness(self, key: RouteKey) -> None:
        entry = self._entries.get(key)
        if entry is None or entry.view is None:
            return
        now = self._clock()
        fresh = pods_with_fresh_load(entry.view, now)
        if fresh != entry.fresh:
            self._invalidate(key)
        else:
            self._schedule_staleness_check(entry.view, fresh, now)

    def _route_changed(self, old: Route | None, new: Route | None) -> None:
        route = new or old
        if route is None:
            return
        for other in self._workload_routes.update(old, new):
            self._invalidate(other)
        entry = self._entries.get(route.key)
        if old and new and _decision_inputs(old) == _decision_inputs(new):
            if entry is not None:  # a status changes no decision
                entry.route = new
                entry.view = entry.view and replace(entry.view, route=new)
            return
        if old and new:
            self._losses.observe_confirmation(old, new)
        if new is None:
            self._losses.forget(route.key)
        if new is None or (old and old.spec.load.source is not new.spec.load.source):
            self._loads.forget_route(route.key)
        self._remove_entry(route.key)
        self._notify(route.key)

    def _workload_changed(self, key: WorkloadKey) -> None:
        for entry in self._entries.of_workload(key):
            old, new = entry.workload, self._informers.workloads.get(entry.route)
            if isinstance(old, Workload) and isinstance(new, Workload) and old.decision_inputs == new.decision_inputs:
                entry.workload = new  # its status, or annotations that the operator wrote, have changed
                entry.view = entry.view and replace(entry.view, workload=new)
            elif old != new:
                self._remove_entry(entry.route.key)
                if entry.view is not None:
                    self._notify(entry.route.key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new or old
        if pod is None:
            return
        for entry in self._entries.in_namespace(pod.namespace):
            if isinstance(entry.workload, Workload) and self._update_pod(entry, entry.workload, old, new):
                self._invalidate(entry.route.key)

    def _update_pod(self, entry: RouteEntry, workload: Workload, old: Pod | None, new: Pod | None) -> bool:
        """Updates a pod of an entry; returns whether that may change a decision."""
        pod = new or old
        if pod is None:
            return False
        was_member, is_member = pod.name in entry.pods, new is not None and workload.owns(new)
        if not was_member and not is_member:
            return False
        key, pod_key = entry.route.key, workload.pod_key(pod)
        if not is_member or (old and new and old.uid != new.uid):
            self._loads.forget(key, pod_key, pod.name)
        if new is None or not is_member:
            del entry.pods[pod.name]
            return True
        entry.pods[pod.name] = new
        if not was_member or old is None or old.uid != new.uid:
            entry.end_causes.pop(pod_key, None)
        if (cause := end_cause(new)) is not None:
            entry.end_causes.setdefault(pod_key, cause)
        if not was_member or old is None or old.decision_inputs != new.decision_inputs:
            self._loads.observe_annotations(entry.route, pod_key, new)
            return True
        return old.load_report != new.load_report and self._loads.observe_annotations(entry.route, pod_key, new)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        node = new or old
        if node is None or (old and new and old.is_ready == new.is_ready):
            return
        self._deleted_nodes.pop(node.name, None)
        if new is None:
            self._deleted_nodes[node.name] = msgspec.structs.replace(node, is_deleted=True)
            if len(self._deleted_nodes) > _MAX_DELETED_NODES:
                del self._deleted_nodes[next(iter(self._deleted_nodes))]
        for entry in self._entries.on_node(node.name):
            self._invalidate(entry.route.key)

    def _remove_entry(self, key: RouteKey) -> None:
        self._entries.remove(key)
        self._losses.cancel(key)
        self._staleness_deadlines.cancel(key)

    def _invalidate(self, key: RouteKey) -> None:
        """Drops the view of a route; watchers that have requested it since the last change are called."""
        entry = self._entries.get(key)
        if entry is not None and entry.view is not None:
            entry.view = None
            self._notify(key)

    def _notify(self, key: RouteKey) -> None:
        for watcher in tuple(self._watchers.get(key, ())):
            watcher()


def _decision_inputs(route: Route) -> tuple[object, ...]:
    """Returns what decisions and statuses depend on.

    The generation alone is not enough: a route that was deleted and created again may have the same.
    """
    return route.generation, route.spec, route.is_deleting, route.loss_confirmed_at
