"""Serves profiles of the running process over HTTP, on a loopback address only."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus

import structlog
from aiohttp import hdrs, web

from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.monitoring.cpu_profiler import CpuProfiler, Profile
from statefulroute.monitoring.host_header import is_address
from statefulroute.monitoring.profile_formats import speedscope, table
from statefulroute.monitoring.server import serve_http

log = structlog.get_logger(__name__)

PATH = "/debug/profile"

_DEFAULT_SECONDS, _MAX_SECONDS = 30, 300

#: The formats, each with its function and its media type.
_FORMATS: Mapping[str, tuple[Callable[[Profile, str], str], str]] = {
    "speedscope": (speedscope, "application/json"),
    "text": (table, "text/plain"),
}


@asynccontextmanager
async def serve_profiles(address: BindAddress | None, program: str) -> AsyncIterator[None]:
    """Serves profiles while the context is open.

    Args:
        address: the address to listen on, of loopback because clients are not authenticated; None serves nothing.
        program: the kind of the process, such as `operator`.

    Raises:
        BindError: the process cannot listen on the address.
    """
    if address is None:
        yield
        return
    application = web.Application()
    application.router.add_get(PATH, _Profiles(program).handle)
    async with serve_http(application, address, option="--profiling-address") as addresses:
        log.info("serving profiles", addresses=addresses)
        yield


class _Profiles:
    """Handles requests for profiles, one at a time."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._is_running = False

    async def handle(self, request: web.Request) -> web.Response:
        """Responds with a profile of the next seconds."""
        if not is_address(request.headers.getall(hdrs.HOST, ())):  # a web page, with a port-forward in reach
            return _refuse(HTTPStatus.FORBIDDEN, "the Host must be localhost or an IP address")
        seconds = _parse_seconds(request.query.get("seconds", str(_DEFAULT_SECONDS)))
        form = _FORMATS.get(request.query.get("format", "speedscope"))
        if seconds is None:
            return _refuse(HTTPStatus.BAD_REQUEST, f"seconds must be a whole number from 1 to {_MAX_SECONDS}")
        if form is None:
            return _refuse(HTTPStatus.BAD_REQUEST, f"format must be {' or '.join(_FORMATS)}")
        if self._is_running:
            return _refuse(HTTPStatus.CONFLICT, "another profile is running: try again when it has ended")
        profile = await self._profile(request, seconds)
        write, media_type = form
        text = await asyncio.to_thread(write, profile, f"statefulroute {self._program}, {seconds} s")
        return web.Response(text=text, content_type=media_type)

    async def _profile(self, request: web.Request, seconds: int) -> Profile:
        """Profiles the process until the time is over, or the client has gone."""
        self._is_running = True
        profiler = CpuProfiler()
        try:
            for _ in range(seconds):
                if request.transport is None:
                    break
                await asyncio.sleep(1)
        finally:
            profile = profiler.stop()
            self._is_running = False
        return profile


def _parse_seconds(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(_MAX_SECONDS))
    return int(text) if is_number and 1 <= int(text) <= _MAX_SECONDS else None


def _refuse(status: HTTPStatus, detail: str) -> web.Response:
    return web.Response(status=status, text=f"{detail}\n")
