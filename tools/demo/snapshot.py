"""What the API server holds of the demo's service, as plain values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

#: An object of Kubernetes, as it stands in JSON.
Object = Mapping[str, Any]

NAMESPACE = "play"
ROUTE = "game"


@dataclass(frozen=True, slots=True)
class Condition:
    """The Ready condition of an object; before it has one, nothing is said."""

    status: str = "Unknown"
    reason: str = ""
    message: str = ""


def ready_condition(item: Object) -> Condition:
    """The Ready condition of an object."""
    for each in item.get("status", {}).get("conditions", []):
        if each["type"] == "Ready":
            return Condition(each["status"], each["reason"], each["message"])
    return Condition()


@dataclass(frozen=True, slots=True)
class Link:
    """One PodLink."""

    item: Object

    @property
    def uid(self) -> str:
        """Whom it binds."""
        return str(self.item["spec"]["uid"])

    @property
    def requested_pod(self) -> int | None:
        """The pod in its spec."""
        index = self.item["spec"].get("podIndex")
        return None if index is None else int(index)

    @property
    def phase(self) -> str:
        """Where it stands; empty before the operator has said."""
        return str(self.item.get("status", {}).get("phase", ""))

    @property
    def pod_name(self) -> str | None:
        """The pod that holds the user; None when none does."""
        return str(self.item["status"].get("podName")) if self.phase == "Bound" else None

    @property
    def expires(self) -> str | None:
        """When a temporary link ends, in RFC 3339."""
        time = self.item.get("status", {}).get("expireTime")
        return None if time is None else str(time)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The route and its links at one moment.

    Attributes:
        route: The StatefulRoute; None when there is none.
        links: The PodLinks by name.
    """

    route: Object | None = None
    links: Mapping[str, Object] = field(default_factory=dict)

    def link(self, name: str) -> Link | None:
        """The link of this name."""
        return Link(self.links[name]) if name in self.links else None

    def all_links(self) -> list[Link]:
        """Every link, in the order of their names."""
        return [Link(self.links[name]) for name in sorted(self.links)]

    def pods(self) -> Iterator[Object]:
        """The route's pods, as its status shows them."""
        yield from (self.route or {}).get("status", {}).get("pods", [])

    @property
    def routable_pods(self) -> int:
        """How many pods serve users, as the route's status counts them."""
        return int((self.route or {}).get("status", {}).get("routablePods", 0))

    @property
    def counted_links(self) -> int:
        """How many links are bound to its pods, as the route's status counts them."""
        return int((self.route or {}).get("status", {}).get("links", 0))

    def users_on(self, pod: str) -> list[Link]:
        """The links whose users this pod holds."""
        return [link for link in self.all_links() if link.pod_name == pod]

    def waiting(self) -> list[Link]:
        """The links that are bound to no pod now."""
        return [link for link in self.all_links() if link.pod_name is None]


def snapshot_of(items: list[Object]) -> Snapshot:
    """The world of a list of objects of both kinds."""
    routes = [item for item in items if item["kind"] == "StatefulRoute" and item["metadata"]["name"] == ROUTE]
    links = {item["metadata"]["name"]: item for item in items if item["kind"] == "PodLink"}
    return Snapshot(routes[0] if routes else None, links)
