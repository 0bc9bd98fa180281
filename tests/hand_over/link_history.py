"""Records every version of every link from the store: an API server that was killed has no events before its start."""

import time
from base64 import b64decode
from typing import Any

import msgspec
from pykube.query import Query

from chaos.record import Gap
from chaos.recorder import StoreEvent, StoreRecorder
from chaos.store_rows import StoreKey
from chaos.system import store_url
from localcluster import LocalCluster
from support.independent_client import PodLink
from support.link_recorder import Version
from support.service import Service


class _Gaps:
    """Keeps what the recorder has missed, in place of a record."""

    def __init__(self) -> None:
        self.gaps: list[Gap] = []

    def write(self, row: Gap) -> None:
        self.gaps.append(row)


class LinkHistory(StoreRecorder):
    """Records from its creation until `stop`.

    Args:
        cluster: the cluster.
        service: the service of the links, which exist, and are not deleted.

    Attributes:
        versions: the versions of the link of each user, oldest first; another thread appends to them.
    """

    def __init__(self, cluster: LocalCluster, service: Service) -> None:
        self.versions: dict[str, list[Version]] = {}
        self._gaps = _Gaps()
        listed = Query(service.client.http, PodLink, service.namespace).response
        for item in listed["items"]:
            self._add("LISTED", item)
        since = int(listed["metadata"]["resourceVersion"]) + 1
        super().__init__(store_url(cluster), self._gaps, service.namespace, since)

    def stop(self) -> None:
        """Records until the present revision, stops, and checks that nothing is missing."""
        super().stop()
        assert not self._gaps.gaps, self._gaps.gaps

    def _record_event(self, event: StoreEvent, revision: int, at: float) -> None:
        del at
        key = StoreKey.parse(b64decode(event.kv.key).decode())
        if key is not None and (key.resource, key.namespace) == ("statefulroute.io/podlinks", self._namespace):
            item = msgspec.json.decode(b64decode(event.kv.value))
            item["metadata"]["resourceVersion"] = str(revision)  # the store has it beside the object
            self._add("MODIFIED", item)

    def _add(self, event: str, item: dict[str, Any]) -> None:
        versions = self.versions.setdefault(item["spec"]["uid"], [])
        versions.append(Version(event, item, time.monotonic()))
