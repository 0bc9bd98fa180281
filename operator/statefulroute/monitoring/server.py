"""Answers a kubelet's probes and Prometheus: /healthz, /readyz and /metrics."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from errno import EADDRINUSE
from os import strerror
from ssl import SSLContext
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError
from prometheus_client.registry import Collector

from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.monitoring.exposition import CONTENT_TYPE, Exposition
from statefulroute.monitoring.health import Health, HealthCheck

log = structlog.get_logger(__name__)

#: How long an answer that is under way at the end may take.
_SHUTDOWN_TIMEOUT_SECONDS = 1.0


class BindError(Exception):
    """The address cannot be listened at; the sentence says why, and what to do."""


@asynccontextmanager
async def serve_probes_and_metrics(
    address: BindAddress | None, health: Health, collectors: Iterable[Collector] = ()
) -> AsyncIterator[None]:
    """Answer while the context lasts.

    Args:
        address: where; None is nowhere.
        health: what probes are told.
        collectors: what Prometheus is told.

    Raises:
        NotListeningError: the address cannot be listened at.
    """
    if address is None:
        yield
        return
    application = web.Application()
    application.router.add_get("/healthz", _health_handler("healthz", health.check_liveness))
    application.router.add_get("/readyz", _health_handler("readyz", health.check_readiness))
    application.router.add_get("/metrics", _metrics_handler(Exposition(collectors)))
    async with serve_http(application, address) as addresses:
        log.info("answering probes and Prometheus", addresses=addresses)
        yield


@dataclass(frozen=True, slots=True)
class RequestHandler:
    """What answers every request itself, without aiohttp's dispatch: where that would be much of an answer's time.

    Attributes:
        handle: answers a request; it must not raise.
        max_body_bytes: a longer body is not read.
    """

    handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    max_body_bytes: int


@asynccontextmanager
async def serve_http(
    application: web.Application | RequestHandler,
    address: BindAddress,
    *,
    option: str = "--bind-address",
    tls: SSLContext | None = None,
    shutdown_timeout_seconds: float = _SHUTDOWN_TIMEOUT_SECONDS,
) -> AsyncIterator[list[str]]:
    """Answer HTTP while the context lasts; gives the addresses that are listened at.

    Args:
        application: what answers.
        address: where.
        option: the option by which another address can be chosen.
        tls: how connections are made secure; None leaves them plain.
        shutdown_timeout_seconds: how long an answer that is under way at the end may take.

    Raises:
        NotListeningError: the address cannot be listened at.
    """
    runner = _runner(application, shutdown_timeout_seconds)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host, address.port, ssl_context=tls).start()
        except OSError as error:
            raise BindError(f"cannot listen at {address}: {_bind_error_message(error)} with {option}") from error
        yield [_format_address(name) for name in runner.addresses]
    finally:
        await runner.cleanup()


def _runner(application: web.Application | RequestHandler, shutdown_timeout_seconds: float) -> web.BaseRunner:
    quiet: dict[str, Any] = {"access_log": None, "logger": _logger()}
    if isinstance(application, web.Application):
        return web.AppRunner(application, shutdown_timeout=shutdown_timeout_seconds, **quiet)
    limit = application.max_body_bytes

    def request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:  # noqa: ANN401
        return web.BaseRequest(message, payload, protocol, writer, task, task.get_loop(), client_max_size=limit)

    server = web.Server(application.handle, request_factory=request, **quiet)
    return web.ServerRunner(server, shutdown_timeout=shutdown_timeout_seconds)


def _logger() -> logging.Logger:
    """Where aiohttp tells of errors; what is no HTTP is the client's error, and anybody can send any amount of it."""
    logger = logging.getLogger(f"{__name__}.http")
    logger.addFilter(_is_ours)
    return logger


def _is_ours(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def _health_handler(
    name: str, checks: Callable[[], Iterable[HealthCheck]]
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """As the API server answers: in one word, or with each check where one has failed or `?verbose` asks for it."""

    async def answer(request: web.Request) -> web.Response:
        found = tuple(checks())
        has_failed = any(check.failure is not None for check in found)
        if not has_failed and "verbose" not in request.query:
            return web.Response(text="ok")
        verdict = f"{name} check {'failed' if has_failed else 'passed'}"
        text = "\n".join((*map(_format_check, found), verdict, ""))
        return web.Response(text=text, status=503 if has_failed else 200)

    return answer


def _format_check(check: HealthCheck) -> str:
    return f"[+]{check.name} ok" if check.failure is None else f"[-]{check.name} failed: {check.failure}"


def _metrics_handler(exposition: Exposition) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        body = b"".join([part async for part in exposition.render()])
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    return answer


def _bind_error_message(error: OSError) -> str:
    if error.errno == EADDRINUSE:
        return "another process listens there; choose another port"
    said = strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return f"{said}; choose another address"


def _format_address(name: tuple[str, int] | tuple[str, int, int, int]) -> str:
    return str(BindAddress(name[0], name[1]))
