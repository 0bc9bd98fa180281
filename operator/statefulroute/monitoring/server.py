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

from statefulroute.monitoring.address import Address
from statefulroute.monitoring.exposition import CONTENT_TYPE, Exposition
from statefulroute.monitoring.health import Check, Health

log = structlog.get_logger(__name__)

#: How long an answer that is under way at the end may take.
_END_SECONDS = 1.0


class NotListeningError(Exception):
    """The address cannot be listened at; the sentence says why, and what to do."""


@asynccontextmanager
async def serving(address: Address | None, health: Health, collectors: Iterable[Collector] = ()) -> AsyncIterator[None]:
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
    application.router.add_get("/healthz", _answering("healthz", health.live))
    application.router.add_get("/readyz", _answering("readyz", health.ready))
    application.router.add_get("/metrics", _exposing(Exposition(collectors)))
    async with listening(application, address) as addresses:
        log.info("answering probes and Prometheus", addresses=addresses)
        yield


@dataclass(frozen=True, slots=True)
class BareServer:
    """What answers every request itself, without aiohttp's dispatch: where that would be much of an answer's time.

    Attributes:
        answer: answers a request; it must not raise.
        max_body_bytes: a longer body is not read.
    """

    answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    max_body_bytes: int


@asynccontextmanager
async def listening(
    application: web.Application | BareServer,
    address: Address,
    *,
    option: str = "--bind-address",
    tls: SSLContext | None = None,
    end_seconds: float = _END_SECONDS,
) -> AsyncIterator[list[str]]:
    """Answer HTTP while the context lasts; gives the addresses that are listened at.

    Args:
        application: what answers.
        address: where.
        option: the option by which another address can be chosen.
        tls: how connections are made secure; None leaves them plain.
        end_seconds: how long an answer that is under way at the end may take.

    Raises:
        NotListeningError: the address cannot be listened at.
    """
    runner = _runner(application, end_seconds)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host, address.port, ssl_context=tls).start()
        except OSError as error:
            raise NotListeningError(f"cannot listen at {address}: {_why(error)} with {option}") from error
        yield [_told(name) for name in runner.addresses]
    finally:
        await runner.cleanup()


def _runner(application: web.Application | BareServer, end_seconds: float) -> web.BaseRunner:
    quiet: dict[str, Any] = {"access_log": None, "logger": _logger()}
    if isinstance(application, web.Application):
        return web.AppRunner(application, shutdown_timeout=end_seconds, **quiet)
    limit = application.max_body_bytes

    def request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:  # noqa: ANN401
        return web.BaseRequest(message, payload, protocol, writer, task, task.get_loop(), client_max_size=limit)

    server = web.Server(application.answer, request_factory=request, **quiet)
    return web.ServerRunner(server, shutdown_timeout=end_seconds)


def _logger() -> logging.Logger:
    """Where aiohttp tells of errors; what is no HTTP is the client's error, and anybody can send any amount of it."""
    logger = logging.getLogger(f"{__name__}.http")
    logger.addFilter(_is_ours)
    return logger


def _is_ours(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def _answering(name: str, checks: Callable[[], Iterable[Check]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """As the API server answers: in one word, or with each check where one has failed or `?verbose` asks for it."""

    async def answer(request: web.Request) -> web.Response:
        found = tuple(checks())
        has_failed = any(check.fault is not None for check in found)
        if not has_failed and "verbose" not in request.query:
            return web.Response(text="ok")
        verdict = f"{name} check {'failed' if has_failed else 'passed'}"
        text = "\n".join((*map(_line, found), verdict, ""))
        return web.Response(text=text, status=503 if has_failed else 200)

    return answer


def _line(check: Check) -> str:
    return f"[+]{check.name} ok" if check.fault is None else f"[-]{check.name} failed: {check.fault}"


def _exposing(exposition: Exposition) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        body = b"".join([part async for part in exposition.text()])
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    return answer


def _why(error: OSError) -> str:
    if error.errno == EADDRINUSE:
        return "another process listens there; choose another port"
    said = strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return f"{said}; choose another address"


def _told(name: tuple[str, int] | tuple[str, int, int, int]) -> str:
    return str(Address(name[0], name[1]))
