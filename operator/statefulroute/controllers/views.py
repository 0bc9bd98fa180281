"""Gather: each route with its workload, its pods and their links, made once and kept until something changes."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec

from statefulroute.cluster.mirror import Mirror
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import Route, RouteView, Workload, view_route
from statefulroute.domain.route_status import SUPPORTED_WORKLOAD

#: Called when a route, its workload or one of its pods has changed in a way that may change a decision.
Watcher = Callable[[], None]


class RouteViews:
    """The present view of every route, and who wants to know when it changes.

    Args:
        mirror: where routes, workloads and pods are read.
        links_of: the live counts of a route's links by pod index.
    """

    def __init__(self, mirror: Mirror, links_of: Callable[[RouteKey], Mapping[int, int]]) -> None:
        self._mirror = mirror
        self._links_of = links_of
        self._views: dict[str, dict[str, RouteView]] = {}
        self._watchers: dict[RouteKey, list[Watcher]] = {}
        mirror.routes.cache.listen(self._route_changed)
        mirror.workloads.cache.listen(self._workload_changed)
        mirror.pods.cache.listen(self._pod_changed)

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
        reference = route.spec.workload_ref
        workload = None
        if (reference.api_version, reference.kind) == SUPPORTED_WORKLOAD:
            workload = self._mirror.workloads.cache.get(route.group, route.workload_name)
        pods = self._mirror.pods.cache.in_group(route.group)
        return view_route(route, workload, pods, self._links_of(route.key))

    def _route_changed(self, old: Route | None, new: Route | None) -> None:
        route = new or old
        if route is None:
            return
        views = self._views.get(route.group, {})
        if old and new and _decisive(old) == _decisive(new):
            if route.name in views:  # a status: it changes no decision
                views[route.name] = replace(views[route.name], route=new)
            return
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
