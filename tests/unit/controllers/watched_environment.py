"""A test environment whose route is watched."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from statefulroute.domain.load import LoadReport
from statefulroute.domain.route import RouteView
from unit.controllers.environment import GAME, Environment, pod


class WatchedEnvironment(Environment):
    """A test environment with a watcher of its route that requests the view at each call, as the operator does."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[RouteView | None] = []
        self.versions = iter(range(1000, 10_000))
        self.route_store.watch(GAME, lambda: self.calls.append(self.route_store.get(GAME)))

    @property
    def view(self) -> RouteView:
        view = self.route_store.get(GAME)
        assert view is not None
        return view

    def seconds_ago(self, seconds: float) -> datetime:
        return self.now - timedelta(seconds=seconds)

    def report(self, load_state: int, index: int = 0, *, ago: float = 0, **more: Any) -> None:
        """Makes a pod report its load in its annotations."""
        self.put_pod(index, load_report=LoadReport(load_state, 0, self.seconds_ago(ago)), **more)

    def put_pod(self, index: int = 0, **more: Any) -> None:
        self.pods.put(pod(next(self.versions), index, **{"uid": f"uid-{index}"} | more))

    def notifications(self, change: Callable[[], object]) -> int:
        """Returns how often the watcher is called during a change."""
        before = len(self.calls)
        change()
        return len(self.calls) - before
