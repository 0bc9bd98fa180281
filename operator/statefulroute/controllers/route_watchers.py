"""Who is notified of changes of routes, and of their new views."""

from collections.abc import Callable
from typing import TypeVar

from statefulroute.controllers.route_pods import PodChanges
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.route import RouteView

#: Called when a route, its workload or one of its pods has changed in a way that may change a decision.
Watcher = Callable[[], None]

#: Called with what distinguishes the pods of each new view of a route from the view before.
PodListener = Callable[[PodChanges], None]

L = TypeVar("L")


class RouteWatchers:
    """The watchers and listeners of routes."""

    def __init__(self) -> None:
        self._watchers: dict[RouteKey, list[Watcher]] = {}
        self._watchers_of_all: list[Callable[[RouteKey], object]] = []
        self._view_listeners: list[Callable[[RouteView], object]] = []
        self._pod_listeners: dict[RouteKey, list[PodListener]] = {}

    def watch(self, key: RouteKey, watcher: Watcher) -> Callable[[], None]:
        """Calls a function at every change of a route; returns one that removes it."""
        return _add_listener(self._watchers, key, watcher)

    def watch_all(self, watcher: Callable[[RouteKey], object]) -> None:
        """Calls a function with the key of a route at every change of it."""
        self._watchers_of_all.append(watcher)

    def listen(self, listener: Callable[[RouteView], object]) -> None:
        """Calls a function with each new view of every route."""
        self._view_listeners.append(listener)

    def listen_for_pods(self, key: RouteKey, listener: PodListener) -> Callable[[], None]:
        """Calls a function with the changes of pods at each new view of a route; returns one that removes it."""
        return _add_listener(self._pod_listeners, key, listener)

    def has_pod_listener(self, key: RouteKey) -> bool:
        """Returns whether the changes of a route's pods are listened for."""
        return key in self._pod_listeners

    def notify(self, key: RouteKey) -> None:
        """Notifies the watchers of a route that it has changed."""
        for watcher in tuple(self._watchers.get(key, ())):
            watcher()
        for watcher_of_all in self._watchers_of_all:
            watcher_of_all(key)

    def view_built(self, view: RouteView) -> None:
        """Passes a new view on, before anything is decided by it."""
        for listener in self._view_listeners:
            listener(view)

    def pods_changed(self, key: RouteKey, changes: PodChanges) -> None:
        """Passes the changes of a route's pods on."""
        for listener in tuple(self._pod_listeners.get(key, ())):
            listener(changes)


def _add_listener(listeners: dict[RouteKey, list[L]], key: RouteKey, listener: L) -> Callable[[], None]:
    """Adds a listener of a route; returns a function that removes it."""
    of_route = listeners.setdefault(key, [])
    of_route.append(listener)

    def remove() -> None:
        of_route.remove(listener)
        if not of_route and listeners.get(key) is of_route:
            del listeners[key]

    return remove
