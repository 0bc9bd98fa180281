"""Tests when clusters that no test uses any more are stopped."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self, cast

import pytest

from support import used_clusters as module
from support.used_clusters import UsedClusters


class FakeCluster:
    """A cluster that counts its stops."""

    def __init__(self) -> None:
        self.stops = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stops += 1

    def stop(self) -> None:
        self.stops += 1


def item(file: str, name: str, *fixtures: str) -> pytest.Item:
    made: Any = SimpleNamespace(nodeid=f"{file}::{name}", path=Path(file), fixturenames=fixtures)
    return cast("pytest.Item", made)


def test_cluster_is_stopped_after_the_last_file_that_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster()
    monkeypatch.setattr(module, "LocalCluster", SimpleNamespace(start=lambda **_: cluster))
    items = [
        item("test_first.py", "test_user", "cluster"),
        item("test_second.py", "test_stranger"),
        item("test_third.py", "test_user", "cluster"),
        item("test_third.py", "test_stranger"),  # fixtures of its module may still use the cluster
        item("test_fourth.py", "test_stranger"),
    ]
    clusters = UsedClusters()
    clusters.record_order(items)
    with clusters.start("cluster"):
        stops = []
        for each in items:
            clusters.stop_unused(each)
            stops.append(cluster.stops)
    assert stops == [0, 0, 0, 0, 1]
