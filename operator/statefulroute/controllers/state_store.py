"""Gather: each route with its workload, its pods and their links, made once and kept until something changes."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from statefulroute.api.statefulroute import PodStatus
from statefulroute.api.vocabulary import LoadSource, RoutingState
from statefulroute.cluster.clock import Clock
from statefulroute.cluster.informers import Informers
from statefulroute.controllers.load_tracker import LoadTracker
from statefulroute.domain.keys import PodKey, RouteKey, WorkloadKey
from statefulroute.domain.load import Load, LoadReport, UnreadableReport
from statefulroute.domain.loss import AbsentPod, find_losses
from statefulroute.domain.pod import Node, Pod
from statefulroute.domain.route import MissingWorkload, Route, RouteView, Workload, build_route_view
from statefulroute.domain.route_status import count_links_at_report

#: Called when a route, its workload or one of its pods has changed in a way that may change a decision.
Watcher = Callable[[], None]

#: A load is looked at again this long after it has become stale: the clocks of timers and of the day differ a little.
_STALE_MARGIN = timedelta(milliseconds=20)


@dataclass(slots=True)
class _RouteEntry:
    """A route that somebody has asked for: kept up to date with every change of what belongs to it."""

    route: Route
    workload: Workload | MissingWorkload | None
    members: dict[str, Pod]
    """The workload's pods by name."""
    status_pods: dict[str, PodStatus]
    """What the status says of pods that were not heard of since, by their names."""
    view: RouteView | None = None
    fresh_loads: frozenset[PodKey] = frozenset()
    """Whose load was fresh when the view was made."""


class RouteStore:
    """The present view of every route, and who wants to know when it changes.

    Args:
        informers: where routes, workloads and pods are read.
        links_of: the live counts of a route's links by pod.
        clock: the time of day.
    """

    def __init__(
        self, informers: Informers, links_of: Callable[[RouteKey], Mapping[PodKey, int]], clock: Clock
    ) -> None:
        self._informers = informers
        self._links_of = links_of
        self._clock = clock
        self._loads = LoadTracker()
        self._away: dict[RouteKey, Mapping[PodKey, AbsentPod]] = {}
        """Of each route: which pods do not serve their users, why, and since when."""
        self._loss_deadlines: dict[RouteKey, asyncio.TimerHandle] = {}
        """When the next of a route's pods will have been away for the grace."""
        self._stale_deadlines: dict[RouteKey, asyncio.TimerHandle] = {}
        """When the next of a route's loads may have become stale."""
        self._entries: dict[str, dict[str, _RouteEntry]] = {}
        """By namespace and name."""
        self._watchers: dict[RouteKey, list[Watcher]] = {}
        informers.routes.cache.listen(self._route_changed)
        informers.workloads.listen(self._workload_changed)
        informers.pods.cache.listen(self._pod_changed)
        if informers.nodes is not None:
            informers.nodes.cache.listen(self._node_changed)

    def get(self, key: RouteKey) -> RouteView | None:
        """The view of a route; None when there is no such route."""
        known = self._entries.get(key.namespace, {}).get(key.name)
        if known is None:
            route = self._informers.routes.cache.get(*key)
            if route is None:
                return None
            known = self._create_entry(route)
        if known.view is None:
            known.view = self._build_view(known)
        return known.view

    def watch(self, key: RouteKey, watcher: Watcher) -> Callable[[], None]:
        """Have a function called at every change of a route's view; gives the function that ends it."""
        watchers = self._watchers.setdefault(key, [])
        watchers.append(watcher)

        def unwatch() -> None:
            watchers.remove(watcher)
            if not watchers and self._watchers.get(key) is watchers:
                del self._watchers[key]

        return unwatch

    def observe_first_link(self, key: RouteKey, pod: PodKey) -> None:
        """A pod has got its first link: where it is away, somebody has to know when it is lost."""
        known = self._entries.get(key.namespace, {}).get(key.name)
        if known is None or known.view is None:
            return
        viewed = known.view.pods.get(pod)
        if viewed is None or not viewed.is_present or pod in known.view.lost:
            self._invalidate(key)

    def observe_load(
        self, key: RouteKey, pod: Pod, report: LoadReport, routing_state: RoutingState = RoutingState.UNKNOWN
    ) -> None:
        """A pod of a route has told its load."""
        known = self._entries.get(key.namespace, {}).get(key.name)
        if known is not None and self._record_load(known, pod, report, routing_state):
            self._invalidate(key)

    def _record_load(self, known: _RouteEntry, pod: Pod, report: LoadReport, routing_state: RoutingState) -> bool:
        """Take in a load; gives whether it may change a decision at once: a fresh figure alone waits for its turn."""
        if not isinstance(known.workload, Workload) or not _is_member(known, pod):
            return False
        key, name, now = known.route.key, known.workload.pod_key(pod), self._clock()
        before, had_fault = self._loads.loads_of(key).get(name), self._loads.clear_error(key, name)
        if not self._loads.is_newer(key, name, report):
            return had_fault
        # The clock of a pod may be ahead: what it says is never of later than now.
        counted = LoadReport(report.load_state, report.waiting_tasks, min(report.time, now))
        links = self._links_of(key).get(name, 0)
        told = known.status_pods.pop(pod.name, None) if before is None else None
        load = Load(counted, count_links_at_report(told, report, links), routing_state)
        self._loads.record(key, name, pod.uid, report, load)
        stale_after = known.route.spec.load.stale_after_seconds
        was_fresh = before is not None and before.is_fresh(stale_after, now)
        return had_fault or before is None or not was_fresh or before.routing_state is not routing_state

    def observe_load_error(self, key: RouteKey, pod: Pod, message: str) -> None:
        """A pod's load could not be read. What it told before counts on until it is stale."""
        known = self._entries.get(key.namespace, {}).get(key.name)
        if known is not None and self._record_load_error(known, pod, message):
            self._invalidate(key)

    def _record_load_error(self, known: _RouteEntry, pod: Pod, message: str) -> bool:
        if not isinstance(known.workload, Workload) or not _is_member(known, pod):
            return False
        key, name = known.route.key, known.workload.pod_key(pod)
        if self._loads.errors_of(key).get(name) == message:
            return False
        self._loads.record_error(key, name, pod.uid, message)
        return True

    def _create_entry(self, route: Route) -> _RouteEntry:
        """Find what belongs to a route; from now on every change of it is followed."""
        known = _RouteEntry(
            route, self._informers.workloads.get(route), {}, {pod.name: pod for pod in route.status.pods}
        )
        self._entries.setdefault(route.namespace, {})[route.name] = known
        if isinstance(known.workload, Workload):
            pods = self._informers.pods.cache.in_partition(route.namespace).values()
            known.members = {pod.name: pod for pod in pods if known.workload.owns(pod)}
            self._loads.retain(route.key, {known.workload.pod_key(pod): pod.uid for pod in known.members.values()})
        for pod in known.members.values():
            self._observe_reported_load(known, pod)
        return known

    def _build_view(self, known: _RouteEntry) -> RouteView:
        key, now = known.route.key, self._clock()
        view = build_route_view(
            known.route,
            known.workload,
            known.members.values(),
            self._informers.nodes_by_name,
            self._links_of(key),
            self._loads.loads_of(key),
            self._loads.errors_of(key),
        )
        known.fresh_loads = _pods_with_fresh_load(view, now)
        self._watch_freshness(view, now)
        return self._with_losses(view, now)

    def _with_losses(self, view: RouteView, now: datetime) -> RouteView:
        """Judge which pods are lost, and look again when the next one will be."""
        key = view.route.key
        carrying = [pod for pod, links in view.link_counts.items() if links]
        losses = find_losses(view, carrying, self._away.get(key, {}), now)
        self._away[key] = losses.absent
        _cancel(self._loss_deadlines, key)
        if losses.next_deadline is not None:
            delay = (losses.next_deadline - now).total_seconds()
            self._loss_deadlines[key] = asyncio.get_running_loop().call_later(delay, self._invalidate, key)
        return replace(view, lost=losses.lost)

    def _watch_freshness(self, view: RouteView, now: datetime) -> None:
        """Look again when the next load may have become stale: most will have been reported anew by then."""
        key, stale_after = view.route.key, timedelta(seconds=view.route.spec.load.stale_after_seconds)
        _cancel(self._stale_deadlines, key)
        if not (fresh := _pods_with_fresh_load(view, now)):
            return
        delay = min(view.loads[pod].report.time for pod in fresh) + stale_after + _STALE_MARGIN - now
        loop = asyncio.get_running_loop()
        self._stale_deadlines[key] = loop.call_later(delay.total_seconds(), self._check_staleness, key)

    def _check_staleness(self, key: RouteKey) -> None:
        known = self._entries.get(key.namespace, {}).get(key.name)
        if known is None or known.view is None:
            return
        now = self._clock()
        if _pods_with_fresh_load(known.view, now) != known.fresh_loads:
            self._invalidate(key)
        else:
            self._watch_freshness(known.view, now)

    def _observe_reported_load(self, known: _RouteEntry, pod: Pod) -> bool:
        """Take in what a pod's annotations say of its load, where that is where loads come from; has that changed?"""
        if known.route.spec.load.source is not LoadSource.REPORTED:
            return False
        match pod.load_report:
            case LoadReport():
                return self._record_load(known, pod, pod.load_report, RoutingState.UNKNOWN)
            case UnreadableReport(why):
                return self._record_load_error(known, pod, why)
            case None:
                return isinstance(known.workload, Workload) and self._loads.clear_error(
                    known.route.key, known.workload.pod_key(pod)
                )

    def _route_changed(self, old: Route | None, new: Route | None) -> None:
        route = new or old
        if route is None:
            return
        known = self._entries.get(route.namespace, {}).get(route.name)
        if old and new and _decision_inputs(old) == _decision_inputs(new):
            if known is not None:  # a status: it changes no decision
                known.route = new
                known.view = known.view and replace(known.view, route=new)
            return
        if new is None:
            self._away.pop(route.key, None)
        if new is None or (old and old.spec.load.source is not new.spec.load.source):
            self._loads.forget_route(route.key)
        self._forget(route.key)
        self._notify(route.key)

    def _workload_changed(self, key: WorkloadKey) -> None:
        for known in self._in_namespace(key.namespace):
            if known.route.workload_key != key:
                continue
            before, now = known.workload, self._informers.workloads.get(known.route)
            if (
                isinstance(before, Workload)
                and isinstance(now, Workload)
                and before.decision_inputs == now.decision_inputs
            ):
                known.workload = now  # a status, or a note of our own
                known.view = known.view and replace(known.view, workload=now)
            elif before != now:
                self._forget(known.route.key)
                if known.view is not None:
                    self._notify(known.route.key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new or old
        if pod is None:
            return
        for known in self._in_namespace(pod.namespace):
            if not isinstance(known.workload, Workload):
                continue
            was, belongs = pod.name in known.members, new is not None and known.workload.owns(new)
            if not was and not belongs:
                continue
            if not belongs or (old and new and old.uid != new.uid):
                self._loads.forget(known.route.key, known.workload.pod_key(pod))
                known.status_pods.pop(pod.name, None)
            is_same = (
                was and belongs and old is not None and new is not None and old.decision_inputs == new.decision_inputs
            )
            if new is not None and belongs:
                known.members[pod.name] = new
                if not (is_same and old and old.load_report == new.load_report):
                    is_same = not self._observe_reported_load(known, new) and is_same
            else:
                del known.members[pod.name]
            if not is_same:
                self._invalidate(known.route.key)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        node = new or old
        if node is None or (old and new and old.is_ready == new.is_ready):
            return
        for namespace in tuple(self._entries):
            for known in self._in_namespace(namespace):
                if any(pod.node_name == node.name for pod in known.members.values()):
                    self._invalidate(known.route.key)

    def _in_namespace(self, namespace: str) -> Iterator[_RouteEntry]:
        """The routes that somebody has asked for; a copy, for those who are told of a change may ask for more."""
        return iter(tuple(self._entries.get(namespace, {}).values()))

    def _forget(self, key: RouteKey) -> None:
        in_namespace = self._entries.get(key.namespace, {})
        in_namespace.pop(key.name, None)
        if not in_namespace:
            self._entries.pop(key.namespace, None)
        _cancel(self._loss_deadlines, key)
        _cancel(self._stale_deadlines, key)

    def _invalidate(self, key: RouteKey) -> None:
        """Who has not asked for the view since the last change knows that it has changed; the others are told."""
        known = self._entries.get(key.namespace, {}).get(key.name)
        if known is not None and known.view is not None:
            known.view = None
            self._notify(key)

    def _notify(self, key: RouteKey) -> None:
        for watcher in tuple(self._watchers.get(key, ())):
            watcher()


def _is_member(known: _RouteEntry, pod: Pod) -> bool:
    """Whether it is still the same pod that the route has."""
    member = known.members.get(pod.name)
    return member is not None and member.uid == pod.uid


def _pods_with_fresh_load(view: RouteView, now: datetime) -> frozenset[PodKey]:
    return frozenset(pod for pod in view.loads if view.fresh_load(pod, now) is not None)


def _cancel(alarms: dict[RouteKey, asyncio.TimerHandle], key: RouteKey) -> None:
    if (alarm := alarms.pop(key, None)) is not None:
        alarm.cancel()


def _decision_inputs(route: Route) -> tuple[object, ...]:
    """What decisions and statuses depend on. Not the generation alone: a route made anew may have the same."""
    return route.generation, route.spec, route.is_deleting
