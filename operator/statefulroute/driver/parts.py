"""The replaceable parts of a server driver, and its configuration."""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from statefulroute.api.vocabulary import RoutingState
from statefulroute.cluster.field_logger import StandardLogger
from statefulroute.domain.keys import PodKey, UidOrSlot
from statefulroute.domain.leaving import CommitResult
from statefulroute.domain.link import HandOver, Link
from statefulroute.domain.operations import Attempt
from statefulroute.domain.pod import Endpoint
from statefulroute.domain.route import Route
from statefulroute.driver.hand_over_configuration import HandOverConfiguration
from statefulroute.driver.user_events import ServerChange


@dataclass(frozen=True, slots=True)
class PodReport:
    """The report of a server pod.

    Attributes:
        load_state: how busy the pod is, in a unit of the application.
        waiting_tasks: the number of tasks that wait in the pod.
        routing_state: which users the pod accepts.
        time: the time of the report.
    """

    load_state: int
    waiting_tasks: int
    routing_state: RoutingState
    time: datetime


class EventLogger(Protocol):
    """A logger of events with fields: structlog's, or one with the same two methods."""

    def info(self, event: str, **fields: Any) -> Any:  # noqa: ANN401 - structlog's own type
        """Logs a successful operation."""

    def warning(self, event: str, **fields: Any) -> Any:  # noqa: ANN401
        """Logs a failure."""


#: The logger of a driver: one of the logging module, or one of events with fields.
Logger: TypeAlias = StandardLogger | EventLogger


class Links(Protocol):
    """The links of one namespace; `LinkStore` implements it."""

    async def get(self, route: str, uid: str, *, fresh: bool = False) -> Link | None:
        """Returns the link of a uid in a route, or None."""

    async def get_of(self, route: str, bound: UidOrSlot, *, fresh: bool = False) -> Link | None:
        """Returns the link of a uid or of a slot in a route, or None."""

    async def find_bound(self, route: str, uid: str, *, fresh: bool = False) -> tuple[Link | None, int | None]:
        """Returns the link that binds a uid in a route: its own, otherwise that of its slot, with the slot; or None."""

    def cached(self, route: str, uid: str) -> Link | None:
        """Returns the cached link of a uid without a request, or None."""

    async def read_token(self, route: str, uid: str, pod: PodKey) -> int | None:
        """Returns the fencing token of a uid that a pod holds; None if it does not."""

    async def links_of(self, uid: str, routes: Iterable[str]) -> dict[str, PodKey]:
        """Returns the pod of a uid in each of the given routes in which it is bound."""

    async def set(self, route: str, uid: str, pod: PodKey, *, ttl_seconds: int | None = None) -> PodKey | None:
        """Binds a uid to a pod, whatever its binding is; returns the pod before."""

    async def try_set(self, route: str, uid: str, pod: PodKey, *, ttl_seconds: int | None = None) -> Attempt:
        """Binds a uid to a pod, unless it has a persistent link to another pod."""

    async def remove(self, route: str, uid: str, *, grace_seconds: int | None = None) -> bool:
        """Removes a link, at once or after a grace period; returns whether there was one."""

    async def remove_if_linked_to(self, route: str, uid: str, pod: PodKey, *, grace_seconds: int | None = None) -> bool:
        """Does the same as `remove` if the link is to the given pod; returns whether it was."""

    async def commit_hand_over(self, link: Link, origin: PodKey, hand_over: HandOver) -> CommitResult:
        """Binds a user or slot that was handed over to the new pod, if the link still asks for it."""


class Routes(Protocol):
    """The StatefulRoutes of one namespace; `RouteCache` implements it."""

    def get(self, name: str) -> Route | None:
        """Returns the cached route of a service, or None."""

    def listen(self, name: str, listener: Callable[[], None]) -> Callable[[], None]:
        """Calls a function at every change of a service; returns a function that removes the listener."""


class ServiceReader(Protocol):
    """Reads services and pods of one namespace; `RequestedServices` implements it."""

    async def names(self) -> list[str]:
        """Returns the names of all services."""

    async def route(self, name: str) -> Route | None:
        """Returns the route of a service, or None."""

    async def endpoint(self, name: str) -> Endpoint | None:
        """Returns a pod, or None."""


class Users(Protocol):
    """The users and slots of the server's own pod; `PodUsers` implements it."""

    services: tuple[str, ...]

    @property
    def is_cut_off(self) -> bool:
        """Whether the API server has not answered for `fence_after_seconds`."""

    def links(self, service: str) -> list[Link]:
        """Returns the links of a service to the pod."""

    def uids(self, service: str) -> list[str]:
        """Returns the users of a service whose own links are to the pod."""

    def get(self, service: str, bound: UidOrSlot) -> Link | None:
        """Returns the link of a user or of a slot to the pod, or None."""

    def present(self) -> list[ServerChange]:
        """Returns the events that lead to the present state."""

    def listen(self, listener: Callable[[ServerChange], None]) -> None:
        """Calls a function with every event from now on."""

    def listen_links(self, listener: Callable[[Link | None, Link | None], None]) -> None:
        """Calls a function at every change of a link, after its events, with the versions before and after."""


class ArrivalAcceptor(Protocol):
    """Takes users from other pods; `Arrivals` implements it."""

    async def take(self, service: str, uid: str, origin: str, parts: AsyncIterator[bytes]) -> None:
        """Passes the state of a user to the application, and returns when it has taken it.

        Raises:
            RefusedError: this pod does not take the user.
        """

    def reconsider(self, service: str, uid: str) -> None:
        """Looks whether a user whose state was taken still is to arrive."""


class StateTransfer(Protocol):
    """Transfers the states of users between pods; `HTTPTransfer` implements it."""

    async def send(self, service: str, uid: str, to: PodKey, parts: AsyncIterator[bytes]) -> None:
        """Sends the state of a user to another pod, and returns when that pod has taken it.

        Raises:
            HandOverError: it has not, or this is not known.
        """

    async def withdraw(self, service: str, uid: str, to: PodKey) -> None:
        """Tells another pod that a user whose state it has taken will perhaps not arrive.

        Raises:
            HandOverError: it was not told.
        """

    async def serve(self, acceptor: ArrivalAcceptor) -> None:
        """Takes users from other pods until it is cancelled."""


class PodPublisher(Protocol):
    """Writes reports to the server's own pod; `AnnotationPublisher` implements it."""

    async def publish(self, report: PodReport) -> None:
        """Writes the whole report.

        Raises:
            ClusterError: the report was not written, or it is unknown whether it was.
        """

    async def publish_routing_state(self, routing_state: RoutingState) -> None:
        """Writes only the routing state. Raises as `publish` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The configuration of a server driver.

    Attributes:
        state_period_seconds: the interval between publications of load and routing state.
        workload_period_seconds: the interval at which the pod of the first index checks the service's workload state.
        drain_seconds: how long `stop` waits by default for the users to leave.
        listen_host: the address that the load endpoint listens on, if the route's load source is HTTP; empty listens
            on all addresses.
        deadline_seconds: the time limit of an operation, and how long `start` waits for the API server.
        fence_after_seconds: the time without an answer of the API server after which the driver reports `CutOff`; it
            asks four to seven times in that time. None never asks. It needs `follow_users`.
        hand_over: how the states of users are sent to other pods, and received; None does neither. It needs
            `follow_users`.
    """

    state_period_seconds: float = 30.0
    workload_period_seconds: float = 60.0
    drain_seconds: float = 20.0
    listen_host: str = ""
    deadline_seconds: float = 10.0
    fence_after_seconds: float | None = None
    hand_over: HandOverConfiguration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInformation:
    """The identity of a server pod.

    Attributes:
        namespace: the pod's namespace, the only one that its driver accepts.
        service: the name of the pod's StatefulRoute.
        pod_name: the pod's name.
        pod: the pod in links: its index in a StatefulSet, otherwise its name.
        termination_grace_seconds: the pod's termination grace period.
        owner: kind and name of the pod's controller; None if it is unknown.
        pod_uid: the UID of the Pod object; empty if it is unknown.
    """

    namespace: str
    service: str
    pod_name: str
    pod: PodKey
    termination_grace_seconds: float = 30.0
    owner: tuple[str, str] | None = None
    pod_uid: str = ""


@dataclass(frozen=True, slots=True)
class ServerParts:
    """The parts of a server driver.

    Attributes:
        links: the links of the pod's namespace.
        routes: the services of the pod's namespace.
        pod: writes to the server's own pod.
        server: the identity of the pod.
        services: reads services and pods for `address_of`, and for `links_of` in all services; None disables these.
        users: the users of the pod, for `users`, `token` and events; None disables these.
        transfer: sends the states of users to other pods, and receives them; None disables that.
    """

    links: Links
    routes: Routes
    pod: PodPublisher
    server: ServerInformation
    services: ServiceReader | None = None
    users: Users | None = None
    transfer: StateTransfer | None = None
