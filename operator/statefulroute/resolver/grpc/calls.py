"""What the gRPC calls of gateways have in common: authentication, the route, picking a pod, and metrics."""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar
from urllib.parse import unquote

import grpc
import structlog

from statefulroute.domain.keys import RouteKey
from statefulroute.resolver.authenticator import Authenticator
from statefulroute.resolver.endpoint_picker import EndpointPicker, Pick
from statefulroute.resolver.metrics import ResolverMetrics
from statefulroute.resolver.uid_sources import UidSource
from statefulroute.rest.problems import EXPECTED_ERRORS, INTERNAL_DETAIL, ProblemError, ProblemKind, problem_of

log = structlog.get_logger(__name__)

R = TypeVar("R")

#: The key in a call's metadata with the route, as NAMESPACE/NAME.
ROUTE_METADATA = "x-statefulroute-route"

_CODES: Mapping[int, grpc.StatusCode] = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
}

Context = grpc.aio.ServicerContext[Any, bytes]


class GrpcCaller:
    """The caller of a gRPC call. If it ends the call, gRPC cancels the task that handles it.

    Args:
        context: the call.

    Attributes:
        metadata: the metadata of the call.
        user: the name of the authenticated or counted caller; empty if there is none.
        was_held: whether a request of the call was held.
        unlinked_pick: the pod that was picked for the latest request of the call, if no link binds its user to a pod.
    """

    __slots__ = ("_context", "metadata", "unlinked_pick", "user", "was_held")

    def __init__(self, context: Context) -> None:
        self._context = context
        self.metadata: Mapping[str, Any] = {str(key): value for key, value in context.invocation_metadata() or ()}
        self.user = ""
        self.was_held = False
        self.unlinked_pick: Pick | None = None

    @property
    def name(self) -> str:
        """The user of its token, the name in its certificate, or its address."""
        return self.user or peer_of(self._context)

    def hold(self, on_disconnect: Callable[[], object]) -> None:
        """Records that a request is held."""
        del on_disconnect  # the task is cancelled
        self.was_held = True


@dataclass(frozen=True, slots=True)
class GatewayComponents:
    """What the calls of all protocols need.

    Attributes:
        picker: picks the pod.
        sources: the sources of the uid.
        default_route: the route of calls that name none; None refuses them.
        authenticator: admits callers.
        metrics: counts responses.
    """

    picker: EndpointPicker
    sources: Sequence[UidSource]
    default_route: RouteKey | None
    authenticator: Authenticator
    metrics: ResolverMetrics


class GatewayCalls(ABC, Generic[R]):
    """The calls of one protocol of gateways, in which each request needs a pod.

    Args:
        components: what the calls need.

    Attributes:
        operation: the name of the operation in metrics.
    """

    operation: ClassVar[str]

    def __init__(self, components: GatewayComponents) -> None:
        self._picker = components.picker
        self._sources = tuple(components.sources)
        self._default_route = components.default_route
        self._authenticator = components.authenticator
        self._metrics = components.metrics

    async def _admit(self, context: Context) -> GrpcCaller:
        """Admits a call and returns its caller, or aborts the call."""
        caller = GrpcCaller(context)
        if self._authenticator.is_open:
            return caller
        try:
            caller.user = await self._authenticator.admit(caller.metadata.get("authorization"), peer_of(context))
        except ProblemError as error:
            self._metrics.observe_response(self.operation, error.kind.status, None)
            await context.abort(_CODES.get(error.kind.status, grpc.StatusCode.UNAVAILABLE), error.detail)
        return caller

    async def _respond(self, request: R, caller: GrpcCaller) -> tuple[bytes, int]:
        """Picks the pod for a request; returns the response, and the corresponding HTTP status."""
        return await self._answer(self.operation, self._accept_pick(request, caller), caller)

    async def _accept_pick(self, request: R, caller: GrpcCaller) -> bytes:
        return self._accept(await self._pick(request, caller))

    async def _answer(self, operation: str, accepted: Awaitable[bytes], caller: GrpcCaller) -> tuple[bytes, int]:
        """Awaits a response, and counts it; returns it or that for a problem, and the corresponding HTTP status."""
        started_at = time.perf_counter()
        try:
            response, status = await accepted, 200
        except EXPECTED_ERRORS as error:
            response, status = self._problem(problem_of(error))
        except Exception:
            log.exception("a request failed with an unexpected error", operation=operation)
            response, status = self._problem(ProblemError(ProblemKind.INTERNAL, INTERNAL_DETAIL))
        seconds = None if caller.was_held else time.perf_counter() - started_at
        self._metrics.observe_response(operation, status, seconds)
        return response, status

    def _problem(self, problem: ProblemError) -> tuple[bytes, int]:
        return self._refuse(problem), problem.kind.status

    @abstractmethod
    async def _pick(self, request: R, caller: GrpcCaller) -> Pick:
        """Picks the pod for a request. Raises the errors of `EndpointPicker.pick`."""

    @abstractmethod
    def _accept(self, pick: Pick) -> bytes:
        """Returns the response for a picked pod."""

    @abstractmethod
    def _refuse(self, problem: ProblemError) -> bytes:
        """Returns the response for a problem."""


def parse_route(route: object, default_route: RouteKey | None) -> RouteKey:
    """Returns the route of a call.

    Args:
        route: NAMESPACE/NAME as named by the call; None if it names none.
        default_route: the route of calls that name none.

    Raises:
        ProblemError: the call names no route, and there is no default.
    """
    if route is not None:
        namespace, _, name = str(route).partition("/")
        return RouteKey(namespace, name)
    if default_route is None:
        raise ProblemError(
            ProblemKind.ROUTE_NOT_FOUND,
            f"the gateway must send NAMESPACE/NAME of a StatefulRoute as its call's {ROUTE_METADATA}, or the "
            "resolver be given --default-route",
        )
    return default_route


def peer_of(context: Context) -> str:
    """Returns the name in the client's certificate, or its address, as for requests over HTTP."""
    properties = context.auth_context()
    for kind in ("x509_common_name", "x509_subject_alternative_name"):
        for name in filter(None, properties.get(kind) or ()):  # without a common name, gRPC's is empty
            return name.decode(errors="replace")
    _, _, address = context.peer().partition(":")  # ipv4:10.0.0.1:4711 or ipv6:%5B::1%5D:4711
    return unquote(address.rpartition(":")[0]).strip("[]")
