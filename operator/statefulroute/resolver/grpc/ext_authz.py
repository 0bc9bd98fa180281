"""Handles the calls of Envoy's ext_authz filter over gRPC."""

from typing import Any

import grpc

from statefulroute.resolver.endpoint_picker import Pick
from statefulroute.resolver.grpc.calls import (
    ROUTE_METADATA,
    Context,
    GatewayCalls,
    GatewayComponents,
    GrpcCaller,
    parse_route,
)
from statefulroute.resolver.grpc.ext_authz_messages import CheckedHttpRequest, denied_response, ok_response
from statefulroute.resolver.grpc.extauthz_pb2 import CheckRequest
from statefulroute.resolver.settings import ENDPOINT_HEADER
from statefulroute.resolver.uid_sources import find_uid
from statefulroute.rest.problems import ProblemError

SERVICE = "envoy.service.auth.v3.Authorization"


class Authorization(GatewayCalls[CheckRequest]):
    """Picks the pod for each request that a gateway checks.

    Args:
        components: what the calls need.
        endpoint_header: the request header for the endpoint, and its key in the dynamic metadata.
    """

    name = SERVICE
    operation = "check"

    def __init__(self, components: GatewayComponents, endpoint_header: str = ENDPOINT_HEADER) -> None:
        super().__init__(components)
        self._endpoint_header = endpoint_header

    def methods(self) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
        """Returns the handler of each method."""
        handler = grpc.unary_unary_rpc_method_handler(
            self.check, request_deserializer=CheckRequest.FromString, response_serializer=bytes
        )
        return {"Check": handler}

    async def check(self, request: CheckRequest, context: Context) -> bytes:
        """Picks the pod for a request, or denies the request with a problem."""
        response, _ = await self._respond(request, await self._admit(context))
        return response

    async def _pick(self, request: CheckRequest, caller: GrpcCaller) -> Pick:
        attributes = request.attributes
        uid = find_uid(self._sources, CheckedHttpRequest(attributes.request.http))
        # Contour, for example, sends no metadata, but the context of its policy.
        named = attributes.context_extensions.get(ROUTE_METADATA, caller.metadata.get(ROUTE_METADATA))
        return await self._picker.pick(parse_route(named, self._default_route), uid, caller)

    def _accept(self, pick: Pick) -> bytes:
        return ok_response(self._endpoint_header, pick.endpoint, pick.pod)

    def _refuse(self, problem: ProblemError) -> bytes:
        return denied_response(problem)
