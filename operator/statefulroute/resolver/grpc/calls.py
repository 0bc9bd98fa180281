"""Authenticates the gRPC calls of gateways, and finds the route that a call names."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import grpc

from statefulroute.domain.keys import RouteKey
from statefulroute.resolver.authenticator import Authenticator
from statefulroute.resolver.metrics import ResolverMetrics
from statefulroute.resolver.problems import ProblemError, ProblemKind

#: The key in a call's metadata with the route, as NAMESPACE/NAME.
ROUTE_METADATA = "x-statefulroute-route"

_CODES: Mapping[int, grpc.StatusCode] = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
}

Context = grpc.aio.ServicerContext[Any, bytes]


def metadata_of(context: Context) -> Mapping[str, Any]:
    """Returns the metadata of a call."""
    return {str(key): value for key, value in context.invocation_metadata() or ()}


async def admit_call(
    authenticator: Authenticator,
    metrics: ResolverMetrics,
    operation: str,
    context: Context,
    metadata: Mapping[str, Any],
) -> None:
    """Admits a call, or aborts it.

    Args:
        authenticator: authenticates callers and limits their rates.
        metrics: counts refused calls.
        operation: the name of the operation in metrics.
        context: the call.
        metadata: the metadata of the call.
    """
    if authenticator.is_open:
        return
    try:
        await authenticator.admit(metadata.get("authorization"), peer_of(context))
    except ProblemError as error:
        metrics.observe_response(operation, error.kind.status, None)
        await context.abort(_CODES.get(error.kind.status, grpc.StatusCode.UNAVAILABLE), error.detail)


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
