"""A gRPC client that acts as Envoy: one call of ext_proc or ext_authz for each request of a client."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from grpc_health.v1 import health_pb2, health_pb2_grpc

from resolver.in_process import ANY_PORT, RunningResolver, run_resolver
from statefulroute.cluster.token_reviewer import TokenReviewer
from statefulroute.domain.keys import RouteKey
from statefulroute.monitoring.settings import ServerTls
from statefulroute.resolver.authenticator import Authenticator
from statefulroute.resolver.grpc import ext_authz
from statefulroute.resolver.grpc.calls import GatewayComponents
from statefulroute.resolver.grpc.ext_proc import SERVICE, ExternalProcessor
from statefulroute.resolver.grpc.extauthz_pb2 import CheckRequest, CheckResponse
from statefulroute.resolver.grpc.extproc_pb2 import ProcessingRequest, ProcessingResponse
from statefulroute.resolver.grpc.server import GrpcServer, serve_grpc
from statefulroute.resolver.token_authenticator import TokenAuthenticator
from statefulroute.resolver.uid_sources import UidSource

HEADER = "x-gateway-destination-endpoint"
NONE, STREAMED, FULL_DUPLEX = 0, 1, 4

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Envoy:
    """A gateway.

    Attributes:
        channel: the channel to the gRPC server.
        resolver: the resolver.
        server: the resolver's gRPC server.
    """

    channel: grpc.aio.Channel
    resolver: RunningResolver
    server: GrpcServer

    async def call(
        self, *messages: ProcessingRequest, metadata: Mapping[str, str] | None = None
    ) -> list[ProcessingResponse]:
        """Sends the messages of one request; returns the responses."""
        codec = (ProcessingRequest.SerializeToString, ProcessingResponse.FromString)
        options = {"metadata": tuple((metadata or {}).items()), "timeout": 20}
        if len(messages) == 1:
            # A message that is written apart from the call replaces the status of a server that has refused the call
            # already by INTERNAL: https://github.com/grpc/grpc/issues/36066
            call = self.channel.unary_stream(f"/{SERVICE}/Process", *codec)(messages[0], **options)
        else:
            call = self.channel.stream_stream(f"/{SERVICE}/Process", *codec)(iter(messages), **options)
        return [answer async for answer in call]

    async def pick(
        self, headers: Headers = (), subset: Any = None, metadata: Mapping[str, str] | None = None
    ) -> ProcessingResponse:
        """Returns the response to the headers of one request."""
        (answer,) = await self.call(request_headers(headers, subset), metadata=metadata)
        return answer

    async def check(self, request: CheckRequest, metadata: Mapping[str, str] | None = None) -> CheckResponse:
        """Returns the response of ext_authz to a request."""
        method = self.channel.unary_unary(
            f"/{ext_authz.SERVICE}/Check",
            request_serializer=CheckRequest.SerializeToString,
            response_deserializer=CheckResponse.FromString,
        )
        return await method(request, metadata=tuple((metadata or {}).items()), timeout=20)

    async def health(self, service: str) -> str:
        """Returns the status of a health service."""
        stub = health_pb2_grpc.HealthStub(self.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def request_headers(headers: Headers, subset: Any = None, *, ends: bool = True) -> ProcessingRequest:
    """Returns the message with a request's headers, and the endpoints that the gateway offers."""
    request = ProcessingRequest()
    request.request_headers.end_of_stream = ends
    for name, value in ((":method", "GET"), (":path", "/rooms?uid=query"), *headers):
        request.request_headers.headers.headers.add(key=name, raw_value=value.encode())
    if subset is not None:
        space = request.metadata_context.filter_metadata["envoy.lb.subset_hint"]
        space.update({f"{HEADER}-subset": subset})
    return request


def picked_endpoint(answer: ProcessingResponse) -> str:
    """Returns the picked endpoint. Header and metadata must agree, and the header must overwrite any other."""
    assert answer.WhichOneof("response") == "request_headers", answer
    (option,) = answer.request_headers.response.header_mutation.set_headers
    assert (option.header.key, option.append_action) == (HEADER, option.OVERWRITE_IF_EXISTS_OR_ADD)
    endpoint = option.header.raw_value.decode()
    assert MessageToDict(answer.dynamic_metadata) == {"envoy.lb": {HEADER: endpoint}}
    return endpoint


def refusal(answer: ProcessingResponse) -> tuple[int, str, dict[str, str]]:
    """Returns the status, the kind and the headers of a refusal."""
    assert answer.WhichOneof("response") == "immediate_response", answer
    response = answer.immediate_response
    headers = {each.header.key: each.header.raw_value.decode() for each in response.headers.set_headers}
    assert headers["content-type"] == "application/problem+json"
    return response.status.code, response.details, headers


@asynccontextmanager
async def run_envoy(
    kubeconfig: Path,
    default_route: RouteKey | None,
    audience: str | None = None,
    picker_tls: ServerTls | None = None,
    **settings: Any,
) -> AsyncIterator[Envoy]:
    """Runs a resolver with a gRPC server, and yields a client of it."""
    sources = settings.pop("uid_sources", (UidSource.parse("header:x-user-id"),))
    async with run_resolver(kubeconfig, **settings) as resolver:
        reviewer = None if audience is None else TokenAuthenticator(TokenReviewer(resolver.client, audience))
        authenticator = Authenticator(reviewer)
        components = resolver.components
        common = GatewayComponents(components.picker, sources, default_route, authenticator, components.metrics)
        services = (ExternalProcessor(common), ext_authz.Authorization(common))
        async with (
            serve_grpc(ANY_PORT, services, picker_tls) as serving,
            grpc.aio.insecure_channel(serving.address) as channel,
        ):
            yield Envoy(channel, resolver, serving)
