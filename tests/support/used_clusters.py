"""Stops each cluster of the session after the last test that uses it: idle clusters cost CPU, too."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from localcluster import LocalCluster

#: The fixtures of clusters that last longer than a module.
FIXTURES = frozenset({"cluster", "dedicated_cluster", "audited_cluster"})


class UsedClusters:
    """The running clusters of a session, and the last test of the last file that uses each.

    A process of parallel tests runs only some of them, but in their order.
    """

    def __init__(self) -> None:
        self._positions: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._running: dict[str, LocalCluster] = {}

    def record_order(self, items: Sequence[pytest.Item]) -> None:
        """Records the order of the session's tests."""
        self._positions = {item.nodeid: position for position, item in enumerate(items)}
        last_of_file = {item.path: position for position, item in enumerate(items)}
        for item in items:
            for fixture in FIXTURES.intersection(getattr(item, "fixturenames", ())):
                # The fixtures of a module may use the cluster when they end.
                self._last[fixture] = max(self._last.get(fixture, 0), last_of_file[item.path])

    @contextmanager
    def start(self, fixture: str, **options: Any) -> Iterator[LocalCluster]:
        """Runs a cluster until the context ends, or until `stop_unused` stops it.

        Args:
            fixture: the name of the fixture that starts it.
            options: the options of `LocalCluster.start`.
        """
        with LocalCluster.start(**options) as started:
            self._running[fixture] = started
            yield started
        self._running.pop(fixture, None)

    def stop_unused(self, item: pytest.Item) -> None:
        """Stops the clusters that neither the file of this test nor a later one uses."""
        position = self._positions[item.nodeid]
        for fixture in [each for each in self._running if self._last.get(each, math.inf) < position]:
            self._running.pop(fixture).stop()


#: The clusters of this process.
used_clusters = UsedClusters()
