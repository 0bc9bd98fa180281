"""Handles the calls of Envoy's ext_proc filter, and links the uids that responses name."""

from statefulroute.resolver.endpoint_picker import Pick
from statefulroute.resolver.grpc.calls import GatewayComponents, GrpcCaller
from statefulroute.resolver.grpc.ext_proc import ExternalProcessor
from statefulroute.resolver.grpc.ext_proc_messages import (
    RESPONSE_HEADERS_WANTED,
    EnvoyRequest,
    continue_response,
    forwards_bodies,
    served_endpoint,
)
from statefulroute.resolver.grpc.extproc_pb2 import ProcessingRequest, ProtocolConfiguration
from statefulroute.resolver.response_linker import ResponseLinker

_LINK = "link"


class LinkingExternalProcessor(ExternalProcessor):
    """Links the uid that a response names before the client gets it, if no link binds the user of its request.

    Such a stream stays open until the response begins. The headers of other responses are not requested.

    Args:
        components: what the calls need.
        linker: links the uids.
    """

    def __init__(self, components: GatewayComponents, linker: ResponseLinker) -> None:
        super().__init__(components)
        self._linker = linker

    async def _pick(self, request: ProcessingRequest, caller: GrpcCaller) -> Pick:
        caller.unlinked_pick = None
        pick = await super()._pick(request, caller)
        if not pick.is_linked:
            caller.unlinked_pick = pick
        return pick

    async def _respond(self, request: ProcessingRequest, caller: GrpcCaller) -> tuple[bytes, int]:
        response, status = await super()._respond(request, caller)
        if caller.unlinked_pick is None or forwards_bodies(request.protocol_config):
            return response, status
        return response + RESPONSE_HEADERS_WANTED, status

    async def _respond_to_part(
        self, request: ProcessingRequest, modes: ProtocolConfiguration | None, caller: GrpcCaller
    ) -> tuple[bytes, int]:
        pick = caller.unlinked_pick
        if pick is None or request.WhichOneof("request") != "response_headers":
            return await super()._respond_to_part(request, modes, caller)
        caller.unlinked_pick = None
        return await self._answer(_LINK, self._link(request, modes, pick, caller), caller)

    async def _link(
        self, request: ProcessingRequest, modes: ProtocolConfiguration | None, pick: Pick, caller: GrpcCaller
    ) -> bytes:
        response = EnvoyRequest(request.response_headers.headers)
        await self._linker.link(self._route_of(caller), pick, served_endpoint(request), response)
        return continue_response(request, modes)
