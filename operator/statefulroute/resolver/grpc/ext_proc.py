"""Handles the calls of Envoy's ext_proc filter."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from statefulroute.domain.keys import RouteKey
from statefulroute.resolver.endpoint_picker import Pick
from statefulroute.resolver.grpc.calls import ROUTE_METADATA, Context, GatewayCalls, GrpcCaller, parse_route
from statefulroute.resolver.grpc.ext_proc_messages import (
    EnvoyRequest,
    continue_response,
    endpoint_response,
    endpoint_subset,
    problem_response,
)
from statefulroute.resolver.grpc.extproc_pb2 import ProcessingRequest, ProtocolConfiguration
from statefulroute.resolver.uid_sources import find_uid
from statefulroute.rest.problems import ProblemError

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"

#: How long the first message of a stream may take: as long as the headers of a request over HTTP. Later ones may take
#: any time, because the streams of WebSockets last as long as these.
_FIRST_MESSAGE_TIMEOUT_SECONDS = 10.0


class ExternalProcessor(GatewayCalls[ProcessingRequest]):
    """Picks endpoints by request headers. Requests no bodies, and sends back each piece that it gets."""

    name = SERVICE
    operation = "pick"

    def methods(self) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
        """Returns the handler of each method."""
        handler = grpc.stream_stream_rpc_method_handler(
            self.process, request_deserializer=ProcessingRequest.FromString, response_serializer=bytes
        )
        return {"Process": handler}

    async def process(self, requests: AsyncIterator[ProcessingRequest], context: Context) -> AsyncIterator[bytes]:
        """Handles the messages of one client request: its headers, and the other parts that the gateway sends."""
        caller = await self._admit(context)
        modes: ProtocolConfiguration | None = None
        is_admitted = True
        async for request in _within_time(requests, context):
            if request.HasField("protocol_config"):
                modes = request.protocol_config
            if request.observability_mode:  # the gateway expects no response
                continue
            if request.WhichOneof("request") == "request_headers":
                if not is_admitted:  # a stream is for one request: each other one counts as well
                    await self._admit(context)
                is_admitted = False
                response, status = await self._respond(request, caller)
            else:
                response, status = await self._respond_to_part(request, modes, caller)
            yield response
            if status != 200:  # noqa: PLR2004 - OK
                return

    async def _respond_to_part(
        self, request: ProcessingRequest, modes: ProtocolConfiguration | None, caller: GrpcCaller
    ) -> tuple[bytes, int]:
        """Responds to another part than the headers of a request; returns the response, and the HTTP status."""
        del caller
        return continue_response(request, modes), 200

    async def _pick(self, request: ProcessingRequest, caller: GrpcCaller) -> Pick:
        uid = find_uid(self._sources, EnvoyRequest(request.request_headers.headers))
        return await self._picker.pick(self._route_of(caller), uid, caller, endpoint_subset(request))

    def _route_of(self, caller: GrpcCaller) -> RouteKey:
        return parse_route(caller.metadata.get(ROUTE_METADATA), self._default_route)

    def _accept(self, pick: Pick) -> bytes:
        return endpoint_response(pick.endpoint)

    def _refuse(self, problem: ProblemError) -> bytes:
        return problem_response(problem)


async def _within_time(
    requests: AsyncIterator[ProcessingRequest], context: Context
) -> AsyncIterator[ProcessingRequest]:
    """Yields the messages of a stream; aborts it if the first one does not arrive in time."""
    messages = aiter(requests)
    try:
        async with asyncio.timeout(_FIRST_MESSAGE_TIMEOUT_SECONDS):
            first = await anext(messages, None)
    except TimeoutError:
        await context.abort(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"the stream sent no message within {_FIRST_MESSAGE_TIMEOUT_SECONDS:g} s",
        )
    if first is not None:
        yield first
        async for message in messages:
            yield message
