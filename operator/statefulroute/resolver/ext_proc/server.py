"""The gRPC server for Envoy's ext_proc filter."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from statefulroute.domain.keys import RouteKey
from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.monitoring.server import BindError
from statefulroute.resolver.authenticator import Authenticator
from statefulroute.resolver.endpoint_picker import EndpointPicker
from statefulroute.resolver.ext_proc.extproc_pb2 import ProcessingRequest, ProtocolConfiguration
from statefulroute.resolver.ext_proc.messages import (
    EnvoyRequest,
    continue_response,
    endpoint_response,
    endpoint_subset,
    problem_response,
)
from statefulroute.resolver.metrics import ResolverMetrics
from statefulroute.resolver.problems import EXPECTED_ERRORS, ProblemError, ProblemKind, problem_of
from statefulroute.resolver.settings import TlsFiles
from statefulroute.resolver.tls import UnusableCertificateError, load_tls_context, modification_times
from statefulroute.resolver.uid_sources import UidSource, find_uid

log = structlog.get_logger(__name__)

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"

#: The key in a call's metadata with the route, as NAMESPACE/NAME.
ROUTE_METADATA = "x-statefulroute-route"

_READINESS_SERVICES = ("", "readiness", SERVICE)
"""The health services for readiness; `liveness` is the one for liveness."""

_SERVING, _NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING

#: The time limit of calls in progress when the server stops.
_STOP_GRACE_SECONDS = 1.0

_CODES: Mapping[int, grpc.StatusCode] = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
}

Context = grpc.aio.ServicerContext[ProcessingRequest, bytes]


class ExternalProcessor:
    """Picks endpoints by request headers. Requests no bodies, and sends back each piece that it gets.

    Args:
        picker: picks the pod.
        sources: the sources of the uid.
        default_route: the route of calls that name none; None refuses them.
        authenticator: admits callers.
        metrics: counts responses.
    """

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

    async def process(self, requests: AsyncIterator[ProcessingRequest], context: Context) -> AsyncIterator[bytes]:
        """Handles the messages of one client request: its headers, and the other parts that the gateway sends."""
        metadata = {str(key): value for key, value in context.invocation_metadata() or ()}
        await self._admit(metadata, context)
        modes: ProtocolConfiguration | None = None
        async for request in requests:
            if request.HasField("protocol_config"):
                modes = request.protocol_config
            if request.observability_mode:  # the gateway expects no response
                continue
            if request.WhichOneof("request") != "request_headers":
                yield continue_response(request, modes)
                continue
            started_at = time.perf_counter()
            response, status = await self._pick(request, metadata)
            self._metrics.observe_response("pick", status, time.perf_counter() - started_at)
            yield response
            if status != 200:  # noqa: PLR2004 - OK
                return

    async def _pick(self, request: ProcessingRequest, metadata: Mapping[str, Any]) -> tuple[bytes, int]:
        """Returns the response to a request's headers, and the corresponding HTTP status."""
        try:
            uid = find_uid(self._sources, EnvoyRequest(request.request_headers.headers))
            pick = await self._picker.pick(self._route(metadata), uid, endpoint_subset(request))
        except EXPECTED_ERRORS as error:
            problem = problem_of(error)
        except Exception:
            log.exception("a request failed with an unexpected error", operation="pick")
            problem = ProblemError(ProblemKind.INTERNAL, "see the resolver's log")
        else:
            return endpoint_response(pick.endpoint), 200
        return problem_response(problem), problem.kind.status

    def _route(self, metadata: Mapping[str, Any]) -> RouteKey:
        route = metadata.get(ROUTE_METADATA)
        if route is None:
            if self._default_route is None:
                raise ProblemError(
                    ProblemKind.ROUTE_NOT_FOUND,
                    f"the gateway must send NAMESPACE/NAME of a StatefulRoute as its call's {ROUTE_METADATA}, or the "
                    "resolver be given --default-route",
                )
            return self._default_route
        namespace, _, name = str(route).partition("/")
        return RouteKey(namespace, name)

    async def _admit(self, metadata: Mapping[str, Any], context: Context) -> None:
        if self._authenticator.is_open:
            return
        try:
            await self._authenticator.admit(metadata.get("authorization"), _peer(context))
        except ProblemError as error:
            self._metrics.observe_response("pick", error.kind.status, None)
            await context.abort(_CODES.get(error.kind.status, grpc.StatusCode.UNAVAILABLE), error.detail)


def _peer(context: Context) -> str:
    """Returns the name in the client's certificate, or its address without the port."""
    names = context.auth_context().get("x509_common_name") or ()
    return next((name.decode(errors="replace") for name in names), context.peer().rpartition(":")[0])


class GrpcServer:
    """A running gRPC server.

    Attributes:
        address: the address that it listens on.

    Args:
        address: the address that it listens on.
        state: its health service.
    """

    def __init__(self, address: str, state: health.HealthServicer) -> None:
        self.address = address
        self._state = state

    async def set_not_serving(self) -> None:
        """Reports NOT_SERVING, so that gateways use another resolver; continues to serve."""
        for name in _READINESS_SERVICES:
            await self._state.set(name, _NOT_SERVING)


@asynccontextmanager
async def serve_ext_proc(
    address: BindAddress, processor: ExternalProcessor, tls: TlsFiles | None = None
) -> AsyncIterator[GrpcServer]:
    """Serves ext_proc and health checks while the context lasts.

    Args:
        address: the address to listen on.
        processor: handles the calls.
        tls: the TLS files; None serves without TLS.

    Raises:
        BindError: the server cannot listen on the address.
    """
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handler = grpc.stream_stream_rpc_method_handler(
        processor.process, request_deserializer=ProcessingRequest.FromString, response_serializer=bytes
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Process": handler}),))
    state = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(state, server)
    for name in (*_READINESS_SERVICES, "liveness"):
        await state.set(name, _SERVING)
    named = address if address.host is not None else address._replace(host="::")
    try:
        port = _listen(server, str(named), tls)
    except RuntimeError as error:
        raise BindError(
            f"cannot listen at {address}: another process listens there, or it is no address of this machine; choose "
            "another with --grpc-address"
        ) from error
    await server.start()
    try:
        yield GrpcServer(str(named._replace(port=port)), state)
    finally:
        await server.stop(_STOP_GRACE_SECONDS)


def _listen(server: grpc.aio.Server, address: str, tls: TlsFiles | None) -> int:
    if tls is None:
        return server.add_insecure_port(address)
    certificates = _CertificateReloader(tls)
    credentials = grpc.dynamic_ssl_server_credentials(
        certificates.read(),
        certificates.reload,  # type: ignore[arg-type]  # None keeps the certificates; gRPC's stubs lack it
        require_client_authentication=tls.client_ca is not None,
    )
    return server.add_secure_port(address, credentials)


class _CertificateReloader:
    """Reloads the certificates when their files change; gRPC calls it at each new connection."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._known = modification_times(files)

    def read(self) -> grpc.ServerCertificateConfiguration:
        """Returns the certificates in the files."""
        authorities = None if self._files.client_ca is None else self._files.client_ca.read_bytes()
        return grpc.ssl_server_certificate_configuration(
            [(self._files.key.read_bytes(), self._files.certificate.read_bytes())], root_certificates=authorities
        )

    def reload(self) -> grpc.ServerCertificateConfiguration | None:
        """Returns the certificates if the files have changed and are valid, otherwise None."""
        try:
            if (stamp := modification_times(self._files)) == self._known:
                return None
            certificates = self.read()
            load_tls_context(self._files)  # checks all files first: some may still be being written
        except (OSError, UnusableCertificateError):
            return None
        self._known = stamp
        return certificates
