"""The Kubernetes events of a route, which the operator writes."""

from typing import Any

import msgspec

from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.cli.cluster import Cluster
from statefulroute.cli.runner import error_message
from statefulroute.cluster.errors import ClusterError
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


class EventList(msgspec.Struct, frozen=True):
    """The events of a route, or why they cannot be read: not every user may read events."""

    events: list[RouteEvent]
    problem: str = ""


class RouteEvents:
    """Reads events when they are asked for.

    Args:
        cluster: the cluster.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def of_route(self, key: RouteKey) -> EventList:
        """Returns the events of a route, the latest first."""
        selector = f"regarding.kind={STATEFUL_ROUTE.kind},regarding.name={key.name}"
        path = f"/apis/events.k8s.io/v1/namespaces/{key.namespace}/events"
        try:
            events = [_make(item) async for item in self._cluster.objects(path, {"fieldSelector": selector})]
        except ClusterError as error:
            return EventList([], error_message(error))
        return EventList(sorted(events, key=lambda event: event.time, reverse=True)[:_MAX_EVENTS])


def _make(item: dict[str, Any]) -> RouteEvent:
    series = item.get("series") or {}
    return RouteEvent(
        time=series.get("lastObservedTime") or item.get("eventTime") or item["metadata"]["creationTimestamp"],
        type=item.get("type", "Normal"),
        reason=item.get("reason", ""),
        note=item.get("note", ""),
        count=series.get("count", 1),
    )
