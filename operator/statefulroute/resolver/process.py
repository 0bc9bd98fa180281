"""Runs the resolver: syncs its caches, then serves look-ups over HTTP and gRPC until it is asked to stop."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.monitoring.api_requests import APIRequestMetrics
from statefulroute.monitoring.health import Health
from statefulroute.monitoring.listener import RenewableTlsContext
from statefulroute.monitoring.otlp_metrics import send_metrics
from statefulroute.monitoring.profiling import serve_profiles
from statefulroute.monitoring.secure_metrics import serve_secure_metrics
from statefulroute.monitoring.server import RequestHandler, serve_http, serve_probes_and_metrics
from statefulroute.monitoring.settings import ServerTls
from statefulroute.monitoring.tls import reloading_tls_context
from statefulroute.resolver.assembly import ResolverComponents, assemble
from statefulroute.resolver.http.dispatcher import MAX_BODY_BYTES
from statefulroute.resolver.settings import Settings
from statefulroute.resolver.unlinked_uid import UnlinkedUidPolicy

log = structlog.get_logger(__name__)

#: The maximal number of concurrent requests to the API server: bindings, renewals, strong reads.
_CONNECTIONS = 32


async def run(settings: Settings) -> None:
    """Runs the resolver until SIGTERM or SIGINT.

    Args:
        settings: the resolver's settings.

    Raises:
        NotConnectedError: no cluster is configured.
        BindError: a server cannot listen on its address.
        UnusableCertificateError: the TLS files are invalid.
        OtlpUnavailableError: metrics are enabled over OTLP and cannot be sent.
    """
    if settings.link_changes and not settings.authenticates:
        log.warning("every client may unlink and move users: --link-changes is set, and no caller is authenticated")
    if settings.uid_from_response is not None and not settings.authenticates:
        log.warning("every client may link uids to any pod: --uid-from-response is set, and no caller is authenticated")
    if settings.uid_from_response is not None and settings.unlinked_uid is UnlinkedUidPolicy.REFUSE:
        log.warning("no response names a uid: --unknown-uid is refuse, so no request without a uid reaches a server")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    requests = APIRequestMetrics()
    async with (
        send_metrics("resolver") as start_metrics,  # exited last, so that all work is counted
        reloading_tls_context(settings.tls) as tls,
        connect(settings.kubeconfig, settings.context) as connection,
        Client(connection, _CONNECTIONS, requests) as client,
    ):
        components = assemble(settings, client)
        health = Health(components.cache.reflectors)
        collectors = (*components.collectors, requests)
        start_metrics(collectors)
        async with (
            serve_secure_metrics(settings.metrics, collectors, connection, requests),
            serve_profiles(settings.profiling_address, "resolver"),
            serve_probes_and_metrics(settings.bind_address, health, None if settings.metrics else collectors),
            components.cache.run(),
        ):
            stopping = asyncio.create_task(stop.wait())
            synced = asyncio.create_task(components.cache.wait_synced())
            # Serve no requests from partial caches: users missing in them would be bound again.
            await asyncio.wait((stopping, synced), return_when=asyncio.FIRST_COMPLETED)
            synced.cancel()
            if not stop.is_set():
                log.info("the caches are synced", server=connection.server, links=len(components.cache.links.cache))
                async with serve_lookups(settings, components, tls), _serve_grpc(settings, components) as stop_picking:
                    await stopping
                    health.is_stopping = True
                    components.dispatcher.drain()
                    await stop_picking()
                    await asyncio.sleep(settings.drain_seconds)
                    if components.holder is not None:
                        components.holder.end()
                await components.binder.aclose()
    log.info("stopped")


@asynccontextmanager
async def serve_lookups(
    settings: Settings, components: ResolverComponents, tls: RenewableTlsContext | None
) -> AsyncIterator[list[str]]:
    """Serves HTTP while the context lasts; yields the addresses that it listens on."""
    bare = RequestHandler(components.dispatcher.handle, MAX_BODY_BYTES)
    async with serve_http(bare, settings.http_address, option="--http-address", tls=tls) as addresses:
        log.info("serving look-ups", addresses=addresses, tls=tls is not None)
        try:
            yield addresses
        finally:
            components.dispatcher.end_streams()


@asynccontextmanager
async def _serve_grpc(
    settings: Settings, components: ResolverComponents
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Serves ext_authz and ext_proc while the context lasts, if gRPC is enabled.

    Yields a function that reports NOT_SERVING.
    """
    if settings.grpc_address is None:
        yield _do_nothing
        return
    _configure_grpc(settings.tls)
    # gRPC is an optional dependency.
    from statefulroute.resolver.grpc.calls import GatewayComponents  # noqa: PLC0415
    from statefulroute.resolver.grpc.ext_authz import Authorization  # noqa: PLC0415
    from statefulroute.resolver.grpc.ext_proc import ExternalProcessor  # noqa: PLC0415
    from statefulroute.resolver.grpc.linking_ext_proc import LinkingExternalProcessor  # noqa: PLC0415
    from statefulroute.resolver.grpc.server import serve_grpc  # noqa: PLC0415

    common = GatewayComponents(
        components.picker,
        settings.uid_sources,
        settings.default_route,
        components.authenticator,
        components.metrics,
    )
    linker = components.linker
    processor = ExternalProcessor(common) if linker is None else LinkingExternalProcessor(common, linker)
    services = (Authorization(common, settings.endpoint_header), processor)
    async with serve_grpc(settings.grpc_address, services, settings.tls) as serving_grpc:
        log.info("serving gRPC", addresses=[serving_grpc.address], tls=settings.tls is not None)
        yield serving_grpc.set_not_serving


def _configure_grpc(tls: ServerTls | None) -> None:
    """Sets the cipher suites of gRPC, which has no option for them and reads its environment when it is imported."""
    if tls is not None and tls.protocol.grpc_ciphers is not None:
        os.environ["GRPC_SSL_CIPHER_SUITES"] = tls.protocol.grpc_ciphers


async def _do_nothing() -> None:
    """Does nothing, because no gRPC server runs."""
