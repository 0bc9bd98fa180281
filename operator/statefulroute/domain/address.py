"""Addresses of pods."""

from dataclasses import dataclass

from statefulroute.api.route_status import PodStatus
from statefulroute.api.vocabulary import RoutingState
from statefulroute.domain.errors import PodNotFoundError, PodNotRoutableError
from statefulroute.domain.link import Link
from statefulroute.domain.pod import Endpoint
from statefulroute.domain.route import Route


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a pod.

    Attributes:
        pod: the name of the pod.
        ip: the current IP; it changes when the pod restarts.
        host: the stable DNS name; None if the pod has none.
        port: the port of the route; None if the route has none, or if the pod has no port of that name.
    """

    pod: str
    ip: str
    host: str | None
    port: int | None

    @property
    def endpoint(self) -> str:
        """The IP and the port as `ip:port`, with an IPv6 address in brackets; only the IP if there is no port."""
        ip = f"[{self.ip}]" if ":" in self.ip else self.ip
        return ip if self.port is None else f"{ip}:{self.port}"


def link_address(link: Link, route: Route, pod_status: PodStatus, endpoint: Endpoint | None) -> Address:
    """Returns the address of the pod of a link.

    Args:
        link: the link.
        route: the route of the link.
        pod_status: the status of the link's pod in the status of the route.
        endpoint: the pod, if it exists.

    Raises:
        PodNotFoundError: the pod does not exist.
        PodNotRoutableError: the pod does not serve its users, or has no IP address yet.
    """
    host = link.status.host if link.status and link.status.pod == link.pod else None
    if host is None and endpoint is not None:  # the operator has not written the status of the link yet
        host = endpoint.host
    return pod_address(route, pod_status, endpoint, host)


def pod_address(route: Route, pod_status: PodStatus, endpoint: Endpoint | None, host: str | None = None) -> Address:
    """Returns the address of a pod. The arguments and errors are those of `link_address`."""
    if endpoint is None:
        raise PodNotFoundError(f"the pod {pod_status.name!r} of the service {route.name!r} is not there now")
    if not endpoint.ip:
        raise PodNotRoutableError(
            f"the pod {pod_status.name!r} of the service {route.name!r} has not started: it has no IP address yet"
        )
    if not endpoint.is_ready or pod_status.routing_state is RoutingState.SHUTDOWN:
        raise PodNotRoutableError(f"the pod {pod_status.name!r} of the service {route.name!r} does not serve users now")
    port = route.spec.port
    return Address(pod_status.name, endpoint.ip, host, endpoint.ports.get(port) if isinstance(port, str) else port)
