"""The resolver: one asyncio program that follows the API server and answers gateways."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext

import structlog

from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.monitoring.api_requests import APIRequestMetrics
from statefulroute.monitoring.health import Health
from statefulroute.monitoring.server import RequestHandler, serve_http, serve_probes_and_metrics
from statefulroute.resolver.assembly import ResolverParts, assemble
from statefulroute.resolver.http.dispatcher import MAX_BODY_BYTES
from statefulroute.resolver.settings import Settings
from statefulroute.resolver.tls import reloading_tls_context

log = structlog.get_logger(__name__)

#: Requests to the API server under way at the same time: bindings, renewals, strong reads.
_CONNECTIONS = 32


async def run(settings: Settings) -> None:
    """Run the resolver until SIGTERM or SIGINT.

    Args:
        settings: how it runs.

    Raises:
        NotConnectedError: no cluster is configured.
        NotListeningError: an address cannot be listened at.
        UnusableCertificateError: connections cannot be made secure.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    requests = APIRequestMetrics()
    async with (
        reloading_tls_context(settings.tls) as tls,
        connect(settings.kubeconfig, settings.context) as connection,
        Client(connection, _CONNECTIONS, requests) as client,
    ):
        parts = assemble(settings, client)
        health = Health(parts.cache.reflectors)
        collectors = (*parts.collectors, requests)
        async with serve_probes_and_metrics(settings.bind_address, health, collectors), parts.cache.run():
            stopping = asyncio.create_task(stop.wait())
            synced = asyncio.create_task(parts.cache.wait_synced())
            # Nobody is answered from half a copy: who is not in it would be bound anew.
            await asyncio.wait((stopping, synced), return_when=asyncio.FIRST_COMPLETED)
            synced.cancel()
            if not stop.is_set():
                log.info("the caches are synced", server=connection.server, links=len(parts.cache.links.cache))
                async with serve_lookups(settings, parts, tls), _serve_grpc(settings, parts) as stop_picking:
                    await stopping
                    health.is_stopping = True
                    parts.dispatcher.drain()
                    await stop_picking()
                    await asyncio.sleep(settings.drain_seconds)
                await parts.binder.aclose()
    log.info("stopped")


@asynccontextmanager
async def serve_lookups(settings: Settings, parts: ResolverParts, tls: SSLContext | None) -> AsyncIterator[list[str]]:
    """Answer look-ups while the context lasts; gives the addresses that are listened at."""
    bare = RequestHandler(parts.dispatcher.handle, MAX_BODY_BYTES)
    async with serve_http(bare, settings.http_address, option="--http-address", tls=tls) as addresses:
        log.info("answering look-ups", addresses=addresses, tls=tls is not None)
        try:
            yield addresses
        finally:
            parts.dispatcher.end_streams()


@asynccontextmanager
async def _serve_grpc(settings: Settings, parts: ResolverParts) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Answer Envoy's ext_proc while the context lasts, where that is asked for; gives what ends it soon."""
    if settings.grpc_address is None:
        yield _do_nothing
        return
    # Who does not ask for it needs no gRPC.
    from statefulroute.resolver.ext_proc.server import ExternalProcessor, serve_ext_proc  # noqa: PLC0415

    picker = ExternalProcessor(
        parts.picker, settings.uid_sources, settings.default_route, parts.authenticator, parts.metrics
    )
    async with serve_ext_proc(settings.grpc_address, picker, settings.tls) as serving_grpc:
        log.info("picking endpoints", addresses=[serving_grpc.address], tls=settings.tls is not None)
        yield serving_grpc.set_not_serving


async def _do_nothing() -> None:
    """There is nothing to end."""
