"""The gRPC server for gateways."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.monitoring.server import BindError
from statefulroute.monitoring.settings import ServerTls
from statefulroute.monitoring.tls import UnusableCertificateError, load_tls_context, modification_times

_SERVING, _NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING

#: How long a TLS handshake and the first bytes of HTTP/2 may take. gRPC's default is two minutes.
_HANDSHAKE_TIMEOUT_MS = 10_000

#: The maximal number of concurrent calls of one connection; gRPC sets no limit. Envoy opens another connection.
_MAX_CONCURRENT_STREAMS = 1_000

#: How long a connection without calls stays open. gRPC sets no limit.
_MAX_IDLE_MS = 5 * 60_000

#: How often a peer is pinged, and how long it may take to answer: otherwise, its calls end. gRPC pings every two hours.
_KEEPALIVE_MS, _KEEPALIVE_TIMEOUT_MS = 60_000, 20_000

_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.server_handshake_timeout_ms", _HANDSHAKE_TIMEOUT_MS),
    ("grpc.max_concurrent_streams", _MAX_CONCURRENT_STREAMS),
    ("grpc.max_connection_idle_ms", _MAX_IDLE_MS),
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
)

#: The time limit of calls in progress when the server stops.
_STOP_GRACE_SECONDS = 1.0


class GrpcService(Protocol):
    """A gRPC service.

    Attributes:
        name: its full name.
    """

    name: str

    def methods(self) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
        """Returns the handler of each method."""


class GrpcServer:
    """A running gRPC server.

    Attributes:
        address: the address that it listens on.

    Args:
        address: the address that it listens on.
        state: its health service.
        readiness_services: the names in it that report readiness; `liveness` is the one for liveness.
    """

    def __init__(self, address: str, state: health.HealthServicer, readiness_services: Sequence[str]) -> None:
        self.address = address
        self._state = state
        self._readiness_services = readiness_services

    async def set_not_serving(self) -> None:
        """Reports NOT_SERVING, so that gateways use another resolver; continues to serve."""
        for name in self._readiness_services:
            await self._state.set(name, _NOT_SERVING)


@asynccontextmanager
async def serve_grpc(
    address: BindAddress, services: Sequence[GrpcService], tls: ServerTls | None = None
) -> AsyncIterator[GrpcServer]:
    """Serves gRPC services and their health checks while the context lasts.

    Args:
        address: the address to listen on.
        services: the services.
        tls: the TLS files; None serves without TLS.

    Raises:
        BindError: the server cannot listen on the address.
    """
    server = grpc.aio.server(options=_OPTIONS)
    handlers = [grpc.method_handlers_generic_handler(each.name, each.methods()) for each in services]
    server.add_generic_rpc_handlers(tuple(handlers))
    state = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(state, server)
    readiness_services = ("", "readiness", *(each.name for each in services))
    for name in (*readiness_services, "liveness"):
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
        yield GrpcServer(str(named._replace(port=port)), state, readiness_services)
    finally:
        await server.stop(_STOP_GRACE_SECONDS)


def _listen(server: grpc.aio.Server, address: str, tls: ServerTls | None) -> int:
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

    def __init__(self, files: ServerTls) -> None:
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
