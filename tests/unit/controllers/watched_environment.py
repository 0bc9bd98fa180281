"""A world whose route somebody watches."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from statefulroute.domain.load import LoadReport
from statefulroute.domain.route import RouteView
from unit.controllers.environment import GAME, Environment, pod


class WatchedEnvironment(Environment):
    """A world whose route is watched: each call of the watcher looks at the view again, as the operator's own do."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[RouteView | None] = []
        self.versions = iter(range(1000, 10_000))
        self.route_store.watch(GAME, lambda: self.calls.append(self.route_store.get(GAME)))

    @property
    def view(self) -> RouteView:
        found = self.route_store.get(GAME)
        assert found is not None
        return found

    def seconds_ago(self, seconds: float) -> datetime:
        return self.now - timedelta(seconds=seconds)

    def report(self, load_state: int, index: int = 0, *, ago: float = 0, **more: Any) -> None:
        """Let a pod write its report into its annotations."""
        self.put_pod(index, load_report=LoadReport(load_state, 0, self.seconds_ago(ago)), **more)

    def put_pod(self, index: int = 0, **more: Any) -> None:
        self.pods.put(pod(next(self.versions), index, **{"uid": f"uid-{index}"} | more))

    def notifications(self, change: Callable[[], object]) -> int:
        """How often the watcher is called when something changes."""
        before = len(self.calls)
        change()
        return len(self.calls) - before
