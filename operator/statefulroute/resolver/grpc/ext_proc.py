"""Handles the calls of Envoy's ext_proc filter."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import grpc
import structlog

from statefulroute.domain.keys import RouteKey
from statefulroute.resolver.authenticator import Authenticator
from statefulroute.resolver.endpoint_picker import EndpointPicker
from statefulroute.resolver.grpc.calls import ROUTE_METADATA, Context, admit_call, metadata_of, parse_route
from statefulroute.resolver.grpc.ext_proc_messages import (
    EnvoyRequest,
    continue_response,
    endpoint_response,
    endpoint_subset,
    problem_response,
)
from statefulroute.resolver.grpc.extproc_pb2 import ProcessingRequest, ProtocolConfiguration
from statefulroute.resolver.metrics import ResolverMetrics
from statefulroute.resolver.problems import EXPECTED_ERRORS, ProblemError, ProblemKind, problem_of
from statefulroute.resolver.uid_sources import UidSource, find_uid

log = structlog.get_logger(__name__)

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"

#: The name of the operation in metrics.
_OPERATION = "pick"


class ExternalProcessor:
    """Picks endpoints by request headers. Requests no bodies, and sends back each piece that it gets.

    Args:
        picker: picks the pod.
        sources: the sources of the uid.
        default_route: the route of calls that name none; None refuses them.
        authenticator: admits callers.
        metrics: counts responses.
    """

    name = SERVICE

    def __init__(
        self,
        picker: EndpointPicker,
        sources: Sequence[UidSource],
        default_route: RouteKey | None,
        authenticator: Authenticator,
        metrics: ResolverMetrics,
    ) -> None:
        self._picker = picker
        self._sources = tuple(sources)
        self._default_route = default_route
        self._authenticator = authenticator
        self._metrics = metrics

    def methods(self) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
        """Returns the handler of each method."""
        handler = grpc.stream_stream_rpc_method_handler(
            self.process, request_deserializer=ProcessingRequest.FromString, response_serializer=bytes
        )
        return {"Process": handler}

    async def process(self, requests: AsyncIterator[ProcessingRequest], context: Context) -> AsyncIterator[bytes]:
        """Handles the messages of one client request: its headers, and the other parts that the gateway sends."""
        metadata = metadata_of(context)
        await admit_call(self._authenticator, self._metrics, _OPERATION, context, metadata)
        modes: ProtocolConfiguration | None = None
        is_admitted = True
        async for request in requests:
            if request.HasField("protocol_config"):
                modes = request.protocol_config
            if request.observability_mode:  # the gateway expects no response
                continue
            if request.WhichOneof("request") != "request_headers":
                yield continue_response(request, modes)
                continue
            if not is_admitted:  # a stream is for one request: each other one counts as well
                await admit_call(self._authenticator, self._metrics, _OPERATION, context, metadata)
            is_admitted = False
            started_at = time.perf_counter()
            response, status = await self._pick(request, metadata)
            self._metrics.observe_response(_OPERATION, status, time.perf_counter() - started_at)
            yield response
            if status != 200:  # noqa: PLR2004 - OK
                return

    async def _pick(self, request: ProcessingRequest, metadata: Mapping[str, Any]) -> tuple[bytes, int]:
        """Returns the response to a request's headers, and the corresponding HTTP status."""
        try:
            uid = find_uid(self._sources, EnvoyRequest(request.request_headers.headers))
            route = parse_route(metadata.get(ROUTE_METADATA), self._default_route)
            pick = await self._picker.pick(route, uid, endpoint_subset(request))
        except EXPECTED_ERRORS as error:
            problem = problem_of(error)
        except Exception:
            log.exception("a request failed with an unexpected error", operation=_OPERATION)
            problem = ProblemError(ProblemKind.INTERNAL, "see the resolver's log")
        else:
            return endpoint_response(pick.endpoint), 200
        return problem_response(problem), problem.kind.status
