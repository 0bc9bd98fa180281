"""The parts that a driver is composed of, each of which may be replaced."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from statefulroute.api.vocabulary import RoutingState
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link
from statefulroute.domain.operations import Attempt
from statefulroute.domain.route import Route


@dataclass(frozen=True, slots=True)
class PodReport:
    """What a server pod tells of itself.

    Attributes:
        load_state: how busy it is, by its own measure.
        waiting_tasks: how many tasks wait in it.
        routing_state: whom it takes.
        time: when it says so.
    """

    load_state: int
    waiting_tasks: int
    routing_state: RoutingState
    time: datetime


class Logger(Protocol):
    """Where a driver writes its lines: a logger of structlog, or one with the same two methods."""

    def info(self, event: str, **fields: Any) -> Any:  # noqa: ANN401 - structlog's own
        """Write what was done."""

    def warning(self, event: str, **fields: Any) -> Any:  # noqa: ANN401
        """Write what has failed."""


class Links(Protocol):
    """The links of one namespace, as `LinkStore` keeps them."""

    async def get(self, route: str, uid: str, *, fresh: bool = False) -> Link | None:
        """The link of a uid in a route, or None."""

    async def set(self, route: str, uid: str, pod: PodKey, *, ttl_seconds: int | None = None) -> PodKey | None:
        """Force a binding; gives the pod before."""

    async def try_set(self, route: str, uid: str, pod: PodKey, *, ttl_seconds: int | None = None) -> Attempt:
        """Bind, unless there is a persistent link to another pod."""

    async def remove(self, route: str, uid: str, *, grace_seconds: int | None = None) -> bool:
        """Remove a link; was there one?"""

    async def remove_if_linked_to(self, route: str, uid: str, pod: PodKey) -> bool:
        """Remove a link if it is to that very pod; was it?"""


class Routes(Protocol):
    """The source of what is known of services: their StatefulRoutes."""

    def get(self, name: str) -> Route | None:
        """A service as it was a moment ago, or None."""

    def listen(self, name: str, listener: Callable[[], None]) -> Callable[[], None]:
        """Have a function called at every change of a service; gives the function that ends it."""


class PodPublisher(Protocol):
    """The server's own pod, on which it writes what it says of itself."""

    async def publish(self, report: PodReport) -> None:
        """Write all of it.

        Raises:
            ClusterError: it was not written, or it is not known whether it was.
        """

    async def publish_routing_state(self, routing_state: RoutingState) -> None:
        """Write only whom the pod takes. Raises as `publish` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """How a server driver works.

    Attributes:
        state_period_seconds: how often load and routing state are published.
        workload_period_seconds: how often the pod of the first index looks at the service's workload state.
        drain_seconds: how long `stop` waits for the users to leave, unless it is told.
        listen_host: the address that the load endpoint listens on, where the route's source is HTTP; empty is all.
    """

    state_period_seconds: float = 30.0
    workload_period_seconds: float = 60.0
    drain_seconds: float = 20.0
    listen_host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInformation:
    """Who a server pod is.

    Attributes:
        namespace: its namespace, the only one that its driver works in.
        service: the name of its StatefulRoute.
        pod_name: its name.
        pod: how links name it: its index in a StatefulSet, else its name.
        termination_grace_seconds: how long it may take to end once Kubernetes has asked it to.
    """

    namespace: str
    service: str
    pod_name: str
    pod: PodKey
    termination_grace_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class ServerParts:
    """What a server driver works with.

    Attributes:
        links: the links of its namespace.
        routes: what is known of the services of its namespace.
        pod: its own pod, to write on.
        server: who it is.
    """

    links: Links
    routes: Routes
    pod: PodPublisher
    server: ServerInformation
