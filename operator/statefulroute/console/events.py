"""The Kubernetes events of a route, which the operator writes."""

from typing import Any

import msgspec

from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.cli.cluster import Cluster
from statefulroute.domain.keys import RouteKey

#: The number of events that are read and shown.
_MAX_EVENTS = 50


class RouteEvent(msgspec.Struct, frozen=True):
    """An event of a route, or of one of its links."""

    time: str
    type: str
    reason: str
    note: str
    count: int


class RouteEvents:
    """Reads events when they are asked for.

    Args:
        cluster: the cluster.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def of_route(self, key: RouteKey) -> list[RouteEvent]:
        """Returns the events of a route, the latest first.

        Raises:
            ClusterError: the API server does not answer, or the user may not read events.
        """
        selector = f"regarding.kind={STATEFUL_ROUTE.kind},regarding.name={key.name}"
        path = f"/apis/events.k8s.io/v1/namespaces/{key.namespace}/events"
        items = [_make(item) async for item in self._cluster.objects(path, {"fieldSelector": selector})]
        return sorted(items, key=lambda event: event.time, reverse=True)[:_MAX_EVENTS]


def _make(item: dict[str, Any]) -> RouteEvent:
    series = item.get("series") or {}
    return RouteEvent(
        time=series.get("lastObservedTime") or item.get("eventTime") or item["metadata"]["creationTimestamp"],
        type=item.get("type", "Normal"),
        reason=item.get("reason", ""),
        note=item.get("note", ""),
        count=series.get("count", 1),
    )
