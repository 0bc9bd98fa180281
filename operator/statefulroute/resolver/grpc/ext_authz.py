"""Handles the calls of Envoy's ext_authz filter over gRPC."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import structlog

from statefulroute.domain.keys import RouteKey
from statefulroute.resolver.authenticator import Authenticator
from statefulroute.resolver.endpoint_picker import EndpointPicker
from statefulroute.resolver.grpc.calls import ROUTE_METADATA, Context, admit_call, metadata_of, parse_route
from statefulroute.resolver.grpc.ext_authz_messages import CheckedHttpRequest, denied_response, ok_response
from statefulroute.resolver.grpc.extauthz_pb2 import CheckRequest
from statefulroute.resolver.metrics import ResolverMetrics
from statefulroute.resolver.problems import EXPECTED_ERRORS, ProblemError, ProblemKind, problem_of
from statefulroute.resolver.settings import ENDPOINT_HEADER
from statefulroute.resolver.uid_sources import UidSource, find_uid

log = structlog.get_logger(__name__)

SERVICE = "envoy.service.auth.v3.Authorization"

#: The name of the operation in metrics.
_OPERATION = "check"


class Authorization:
    """Picks the pod for each request that a gateway checks.

    Args:
        picker: picks the pod.
        sources: the sources of the uid.
        default_route: the route of calls that name none; None refuses them.
        authenticator: admits callers.
        metrics: counts responses.
        endpoint_header: the request header for the endpoint, and its key in the dynamic metadata.
    """

    name = SERVICE

    def __init__(  # noqa: PLR0913, PLR0917 - one for each collaborator
        self,
        picker: EndpointPicker,
        sources: Sequence[UidSource],
        default_route: RouteKey | None,
        authenticator: Authenticator,
        metrics: ResolverMetrics,
        endpoint_header: str = ENDPOINT_HEADER,
    ) -> None:
        self._picker = picker
        self._sources = tuple(sources)
        self._default_route = default_route
        self._authenticator = authenticator
        self._metrics = metrics
        self._endpoint_header = endpoint_header

    def methods(self) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
        """Returns the handler of each method."""
        handler = grpc.unary_unary_rpc_method_handler(
            self.check, request_deserializer=CheckRequest.FromString, response_serializer=bytes
        )
        return {"Check": handler}

    async def check(self, request: CheckRequest, context: Context) -> bytes:
        """Picks the pod for a request, or denies the request with a problem."""
        started_at = time.perf_counter()
        metadata = metadata_of(context)
        await admit_call(self._authenticator, self._metrics, _OPERATION, context, metadata)
        response, status = await self._pick(request, metadata)
        self._metrics.observe_response(_OPERATION, status, time.perf_counter() - started_at)
        return response

    async def _pick(self, request: CheckRequest, metadata: Mapping[str, Any]) -> tuple[bytes, int]:
        """Returns the response, and the corresponding HTTP status."""
        attributes = request.attributes
        try:
            uid = find_uid(self._sources, CheckedHttpRequest(attributes.request.http))
            # Contour, for example, sends no metadata, but the context of its policy.
            named = attributes.context_extensions.get(ROUTE_METADATA, metadata.get(ROUTE_METADATA))
            pick = await self._picker.pick(parse_route(named, self._default_route), uid)
        except EXPECTED_ERRORS as error:
            problem = problem_of(error)
        except Exception:
            log.exception("a request failed with an unexpected error", operation=_OPERATION)
            problem = ProblemError(ProblemKind.INTERNAL, "see the resolver's log")
        else:
            return ok_response(self._endpoint_header, pick.endpoint, pick.pod), 200
        return denied_response(problem), problem.kind.status
