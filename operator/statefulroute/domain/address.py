"""Where a user's pod is reached."""

from dataclasses import dataclass

from statefulroute.api.statefulroute import PodStatus
from statefulroute.api.vocabulary import RoutingState
from statefulroute.domain.errors import PodNotFoundError, PodNotRoutableError
from statefulroute.domain.link import Link
from statefulroute.domain.pod import Endpoint
from statefulroute.domain.route import Route


@dataclass(frozen=True, slots=True)
class Address:
    """Where a user's pod is reached.

    Attributes:
        pod: the name of the pod.
        ip: its present address; it changes when the pod restarts.
        host: its stable DNS name; None where it has none, or the operator has not acknowledged the link yet.
        port: the route's port at the pod; None where the route has none, or the pod has no port of that name.
    """

    pod: str
    ip: str
    host: str | None
    port: int | None

    @property
    def endpoint(self) -> str:
        """IP and port as a gateway writes them; the IP alone where there is no port."""
        ip = f"[{self.ip}]" if ":" in self.ip else self.ip
        return ip if self.port is None else f"{ip}:{self.port}"


def link_address(link: Link, route: Route, pod_status: PodStatus, endpoint: Endpoint | None) -> Address:
    """Where the pod of a link is reached.

    Args:
        link: the link; its pod is the one that `pod_status` is about.
        route: its route.
        pod_status: what the route's status says of the pod.
        endpoint: the pod itself, where it is there.

    Raises:
        PodNotFoundError: the pod does not exist now, or has no address yet.
        PodNotRoutableError: it does not serve its users now.
    """
    acknowledged = link.status
    host = acknowledged.host if acknowledged and acknowledged.pod == link.pod else None
    return pod_address(route, pod_status, endpoint, host)


def pod_address(route: Route, pod_status: PodStatus, endpoint: Endpoint | None, host: str | None = None) -> Address:
    """Where a pod is reached that no link need name. Takes and raises as `address_of` does."""
    if endpoint is None or not endpoint.ip:
        raise PodNotFoundError(f"the pod {pod_status.name!r} of the service {route.name!r} is not there now")
    if not endpoint.is_ready or pod_status.routing_state is RoutingState.SHUTDOWN:
        raise PodNotRoutableError(f"the pod {pod_status.name!r} of the service {route.name!r} does not serve users now")
    port = route.spec.port
    return Address(pod_status.name, endpoint.ip, host, endpoint.ports.get(port) if isinstance(port, str) else port)
