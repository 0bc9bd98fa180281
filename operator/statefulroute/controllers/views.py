"""Gather: each route with its workload, its pods and their links, made once and kept until something changes."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec

from statefulroute.cluster.mirror import Mirror
from statefulroute.cluster.writes import Clock
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.loss import Away, judge_losses
from statefulroute.domain.pod import Node, Pod
from statefulroute.domain.route import Route, RouteView, Workload, view_route

#: Called when a route, its workload or one of its pods has changed in a way that may change a decision.
Watcher = Callable[[], None]


class RouteViews:
    """The present view of every route, and who wants to know when it changes.

    Args:
        mirror: where routes, workloads and pods are read.
        links_of: the live counts of a route's links by pod index.
        clock: the time of day.
    """

    def __init__(self, mirror: Mirror, links_of: Callable[[RouteKey], Mapping[int, int]], clock: Clock) -> None:
        self._mirror = mirror
        self._links_of = links_of
        self._clock = clock
        self._away: dict[RouteKey, Mapping[int, Away]] = {}
        """Of each route: which pods do not serve their users, why, and since when."""
        self._alarms: dict[RouteKey, asyncio.TimerHandle] = {}
        """When the next of a route's pods will have been away for the grace."""
        self._views: dict[str, dict[str, RouteView]] = {}
        self._watchers: dict[RouteKey, list[Watcher]] = {}
        mirror.routes.cache.listen(self._route_changed)
        mirror.workloads.cache.listen(self._workload_changed)
        mirror.pods.cache.listen(self._pod_changed)
        mirror.nodes.cache.listen(self._node_changed)

    def get(self, key: RouteKey) -> RouteView | None:
        """The view of a route; None when there is no such route."""
        view = self._views.get(key.namespace, {}).get(key.name)
        if view is None and (route := self._mirror.routes.cache.get(*key)) is not None:
            view = self._gather(route)
            self._views.setdefault(key.namespace, {})[key.name] = view
        return view

    def watch(self, key: RouteKey, watcher: Watcher) -> Callable[[], None]:
        """Have a function called at every change of a route's view; gives the function that ends it."""
        watchers = self._watchers.setdefault(key, [])
        watchers.append(watcher)

        def unwatch() -> None:
            watchers.remove(watcher)
            if not watchers and self._watchers.get(key) is watchers:
                del self._watchers[key]

        return unwatch

    def _gather(self, route: Route) -> RouteView:
        workload = None
        if route.has_supported_workload:
            workload = self._mirror.workloads.cache.get(route.group, route.workload_name)
        pods = self._mirror.pods.cache.in_group(route.group)
        nodes = self._mirror.nodes.cache.in_group("")
        return self._with_losses(view_route(route, workload, pods, nodes, self._links_of(route.key)))

    def _with_losses(self, view: RouteView) -> RouteView:
        """Judge which pods are lost, and look again when the next one will be."""
        key, now = view.route.key, self._clock()
        carrying = [index for index, links in view.link_counts.items() if links]
        losses = judge_losses(view, carrying, self._away.get(key, {}), now)
        self._away[key] = losses.away
        self._cancel_alarm(key)
        if losses.next_time is not None:
            delay = (losses.next_time - now).total_seconds()
            self._alarms[key] = asyncio.get_running_loop().call_later(delay, self._changed, key)
        return replace(view, lost=losses.lost)

    def _cancel_alarm(self, key: RouteKey) -> None:
        if (alarm := self._alarms.pop(key, None)) is not None:
            alarm.cancel()

    def carries(self, key: RouteKey, pod_index: int) -> None:
        """A pod has got its first link: where it is away, somebody has to know when it is lost."""
        view = self._views.get(key.namespace, {}).get(key.name)
        if view is None:
            return
        pod = view.pods.get(pod_index)
        if pod is None or not pod.is_present or pod_index in view.lost:
            self._changed(key)

    def _route_changed(self, old: Route | None, new: Route | None) -> None:
        route = new or old
        if route is None:
            return
        views = self._views.get(route.group, {})
        if old and new and _decisive(old) == _decisive(new):
            if route.name in views:  # a status: it changes no decision
                views[route.name] = replace(views[route.name], route=new)
            return
        if new is None:
            self._away.pop(route.key, None)
            self._cancel_alarm(route.key)
        self._changed(route.key)

    def _workload_changed(self, old: Workload | None, new: Workload | None) -> None:
        workload = new or old
        if workload is None or _is_same(old, new):
            return
        for view in self._known(workload.group):
            if view.route.workload_name == workload.name:
                self._changed(view.route.key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        pod = new or old
        if pod is None or _is_same(old, new):
            return
        for view in self._known(pod.group):
            if view.workload and any(each is not None and view.workload.owns(each) for each in (old, new)):
                self._changed(view.route.key)

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        node = new or old
        if node is None or (old and new and old.is_ready == new.is_ready):
            return
        for namespace in self._views:
            for view in self._known(namespace):
                if any(pod.pod.node_name == node.name for pod in view.pods.values()):
                    self._changed(view.route.key)

    def _known(self, namespace: str) -> list[RouteView]:
        """The views that somebody has asked for; who has not asked since the last change knows that it changed."""
        return list(self._views.get(namespace, {}).values())

    def _changed(self, key: RouteKey) -> None:
        self._views.get(key.namespace, {}).pop(key.name, None)
        for watcher in tuple(self._watchers.get(key, ())):
            watcher()


def _decisive(route: Route) -> tuple[object, ...]:
    """What decisions and statuses depend on. Not the generation alone: a route made anew may have the same."""
    return route.generation, route.spec, route.deleting


def _is_same(old: Pod | Workload | None, new: Pod | Workload | None) -> bool:
    """Whether two versions differ in nothing that a decision depends on."""
    if old is None or new is None:
        return False
    if isinstance(new, Pod):
        return msgspec.structs.replace(new, resource_version=old.resource_version) == old
    return replace(new, resource_version=old.resource_version) == old
