"""The state of the demo's service in the API server, as plain values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

#: A Kubernetes object as JSON.
Object = Mapping[str, Any]

NAMESPACE = "play"
ROUTE = "game"


@dataclass(frozen=True, slots=True)
class Condition:
    """The Ready condition of an object; the defaults stand for a missing one."""

    status: str = "Unknown"
    reason: str = ""
    message: str = ""


def ready_condition(item: Object) -> Condition:
    """Returns the Ready condition of an object."""
    for condition in item.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready":
            return Condition(condition["status"], condition["reason"], condition["message"])
    return Condition()


@dataclass(frozen=True, slots=True)
class Link:
    """One PodLink."""

    item: Object

    @property
    def uid(self) -> str:
        """The uid of its user."""
        return str(self.item["spec"]["uid"])

    @property
    def requested_pod(self) -> int | None:
        """The pod in its spec."""
        index = self.item["spec"].get("podIndex")
        return None if index is None else int(index)

    @property
    def phase(self) -> str:
        """Its phase; empty before the operator has written one."""
        return str(self.item.get("status", {}).get("phase", ""))

    @property
    def pod_name(self) -> str | None:
        """The pod that the user is bound to; None without one."""
        return str(self.item["status"].get("podName")) if self.phase == "Bound" else None

    @property
    def expires(self) -> str | None:
        """When a temporary link expires, in RFC 3339."""
        time = self.item.get("status", {}).get("expireTime")
        return None if time is None else str(time)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The route and its links at one moment.

    Attributes:
        route: The StatefulRoute; None if it does not exist.
        links: The PodLinks by name.
    """

    route: Object | None = None
    links: Mapping[str, Object] = field(default_factory=dict)

    def link(self, name: str) -> Link | None:
        """Returns the link with this name."""
        return Link(self.links[name]) if name in self.links else None

    def all_links(self) -> list[Link]:
        """Returns every link, sorted by name."""
        return [Link(self.links[name]) for name in sorted(self.links)]

    def pods(self) -> Iterator[Object]:
        """Returns the route's pods from its status."""
        yield from (self.route or {}).get("status", {}).get("pods", [])

    @property
    def routable_pods(self) -> int:
        """The number of pods that serve users, from the route's status."""
        return int((self.route or {}).get("status", {}).get("routablePods", 0))

    @property
    def counted_links(self) -> int:
        """The number of links that are bound to its pods, from the route's status."""
        return int((self.route or {}).get("status", {}).get("links", 0))

    def users_on(self, pod: str) -> list[Link]:
        """Returns the links that are bound to this pod."""
        return [link for link in self.all_links() if link.pod_name == pod]

    def waiting(self) -> list[Link]:
        """Returns the links that are not bound to a pod."""
        return [link for link in self.all_links() if link.pod_name is None]


def snapshot_of(items: list[Object]) -> Snapshot:
    """Builds a snapshot from a list of objects of both kinds."""
    routes = [item for item in items if item["kind"] == "StatefulRoute" and item["metadata"]["name"] == ROUTE]
    links = {item["metadata"]["name"]: item for item in items if item["kind"] == "PodLink"}
    return Snapshot(routes[0] if routes else None, links)
