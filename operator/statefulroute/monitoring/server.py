"""Serves probes and metrics over HTTP: /healthz, /readyz and /metrics."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from errno import EADDRINUSE
from os import strerror
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError
from prometheus_client.registry import Collector

from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.monitoring.exposition import CONTENT_TYPE, Exposition
from statefulroute.monitoring.health import Health, HealthCheck
from statefulroute.monitoring.listener import RenewableTlsContext, TimedServer, listen

log = structlog.get_logger(__name__)

#: How long a request in progress may take at shutdown.
_SHUTDOWN_TIMEOUT_SECONDS = 1.0


class BindError(Exception):
    """The process cannot listen on the address; the message states the reason and the option to change."""


@asynccontextmanager
async def serve_probes_and_metrics(
    address: BindAddress | None, health: Health, collectors: Iterable[Collector] | None = ()
) -> AsyncIterator[None]:
    """Serves probes and metrics while the context is open.

    Args:
        address: the address to listen on; None disables the server.
        health: the checks of the probes.
        collectors: the metrics; None serves no metrics.

    Raises:
        BindError: the process cannot listen on the address.
    """
    if address is None:
        yield
        return
    application = web.Application()
    application.router.add_get("/healthz", _health_handler("healthz", health.check_liveness))
    application.router.add_get("/readyz", _health_handler("readyz", health.check_readiness))
    if collectors is not None:
        application.router.add_get("/metrics", _metrics_handler(Exposition(collectors)))
    async with serve_http(application, address) as addresses:
        log.info("serving probes and metrics", addresses=addresses)
        yield


@dataclass(frozen=True, slots=True)
class RequestHandler:
    """Handles every request without aiohttp's dispatch, which would be a large part of the time of a fast response.

    Attributes:
        handle: returns the response to a request; it must not raise.
        max_body_bytes: the maximum size of a request's body; a longer one is not read.
    """

    handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    max_body_bytes: int


@asynccontextmanager
async def serve_http(
    application: web.Application | RequestHandler,
    address: BindAddress,
    *,
    option: str = "--bind-address",
    tls: RenewableTlsContext | None = None,
    shutdown_timeout_seconds: float = _SHUTDOWN_TIMEOUT_SECONDS,
) -> AsyncIterator[list[str]]:
    """Serves HTTP while the context is open; the context's value is the list of addresses that the server listens on.

    Args:
        application: the handler of the requests.
        address: the address to listen on.
        option: the command line option that sets the address, for the error message.
        tls: the TLS settings; None serves plain HTTP.
        shutdown_timeout_seconds: how long a request in progress may take at shutdown.

    Raises:
        BindError: the process cannot listen on the address.
    """
    runner = _runner(application, shutdown_timeout_seconds)
    await runner.setup()
    try:
        async with AsyncExitStack() as listening:
            try:
                addresses = await listening.enter_async_context(listen(_server_of(runner), address, tls))
            except OSError as error:
                raise BindError(f"cannot listen at {address}: {_bind_error_message(error)} with {option}") from error
            yield [str(each) for each in addresses]
    finally:
        await runner.cleanup()


def _server_of(runner: web.BaseRunner) -> web.Server:
    if runner.server is None:
        raise RuntimeError("the runner is not set up")
    return runner.server


def _runner(application: web.Application | RequestHandler, shutdown_timeout_seconds: float) -> web.BaseRunner:
    quiet: dict[str, Any] = {"access_log": None, "logger": _logger()}
    if isinstance(application, web.Application):
        return web.AppRunner(application, shutdown_timeout=shutdown_timeout_seconds, **quiet)
    limit = application.max_body_bytes

    def request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:  # noqa: ANN401
        return web.BaseRequest(message, payload, protocol, writer, task, task.get_loop(), client_max_size=limit)

    server = TimedServer(application.handle, request_factory=request, **quiet)
    return web.ServerRunner(server, shutdown_timeout=shutdown_timeout_seconds)


def _logger() -> logging.Logger:
    """Returns the logger for aiohttp's errors.

    It drops errors about malformed HTTP: they are the client's, and any client can cause any number of them.
    """
    logger = logging.getLogger(f"{__name__}.http")
    logger.addFilter(_is_server_error)
    return logger


def _is_server_error(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def _health_handler(
    name: str, checks: Callable[[], Iterable[HealthCheck]]
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Returns a handler that responds like the API server: `ok`, or all checks on a failure or with `?verbose`."""

    async def handle(request: web.Request) -> web.Response:
        results = tuple(checks())
        has_failed = any(check.failure is not None for check in results)
        if not has_failed and "verbose" not in request.query:
            return web.Response(text="ok")
        verdict = f"{name} check {'failed' if has_failed else 'passed'}"
        text = "\n".join((*map(_format_check, results), verdict, ""))
        return web.Response(text=text, status=503 if has_failed else 200)

    return handle


def _format_check(check: HealthCheck) -> str:
    return f"[+]{check.name} ok" if check.failure is None else f"[-]{check.name} failed: {check.failure}"


def _metrics_handler(exposition: Exposition) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_: web.Request) -> web.Response:
        body = b"".join([part async for part in exposition.render()])
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    return handle


def _bind_error_message(error: OSError) -> str:
    if error.errno == EADDRINUSE:
        return "another process listens there; choose another port"
    reason = strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return f"{reason}; choose another address"
