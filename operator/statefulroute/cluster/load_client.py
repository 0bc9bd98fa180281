"""Reads the load of pods over HTTP. The responses are untrusted: their content is never logged or passed on."""

import asyncio
from importlib.metadata import version
from ipaddress import ip_address
from os import strerror
from typing import Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from statefulroute.api.load import HTTPLoad
from statefulroute.cluster.fair_limiter import FairLimiter
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.load import LoadResponse, parse_load_response

#: The maximum size of a response body in bytes; a load takes less than a hundred.
MAX_BODY_BYTES = 4096

_OK = 200

_HEADERS = {
    "User-Agent": f"statefulroute/{version('statefulroute')}",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
}


class LoadUnreadableError(Exception):
    """A pod did not return its load.

    The message continues a sentence that starts with the pod. It is the same for the same cause, and contains no part
    of the response.
    """


class LoadClient:
    """Reads the load of pods; an async context manager that closes all connections on exit.

    It shares nothing with the client for the API server: it sends no credentials and no cookies, and uses no proxy.
    It opens a connection for each request. A pod is polled about every 30 seconds and may close an idle connection in
    between, and thousands of idle connections would cost more than they save.

    A pod that hangs holds a request until its timeout. So a single route has at most a quarter of the requests in
    progress, a single namespace half of them, and together they leave some for others (`FairSlots`).

    Args:
        max_parallel: the maximum number of requests in progress; further requests wait.
    """

    def __init__(self, max_parallel: int = 64) -> None:
        self._limiter = FairLimiter(FairSlots(max_parallel, namespace_share=1.0, route_share=1.0))
        self._session = aiohttp.ClientSession(
            # The limit equals the number of slots, so no request waits for a connection: that would count as its time.
            connector=aiohttp.TCPConnector(limit=max_parallel, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None),
            headers=_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            read_bufsize=MAX_BODY_BYTES,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get_load(self, ip: str, http: HTTPLoad, route: RouteKey) -> LoadResponse:
        """Reads the load of a pod.

        Args:
            ip: the pod's IPv4 or IPv6 address.
            http: the port, the path and the timeout.
            route: the route of the pod, which shares the requests in progress with other routes.

        Raises:
            LoadUnreadableError: the pod did not return its load.
        """
        url = _url(ip, http)
        async with self._limiter.slot(route):
            try:
                async with asyncio.timeout(http.timeout_seconds):
                    body = await self._body(url)
            except TimeoutError as error:
                raise LoadUnreadableError(f"did not answer within {http.timeout_seconds} s") from error
            except (aiohttp.ClientError, OSError) as error:
                raise LoadUnreadableError(_error_message(error)) from error
        try:
            return parse_load_response(body)
        except ValueError as error:
            raise LoadUnreadableError(f"returned an invalid load: {error}") from error
        except RecursionError as error:  # deeply nested JSON; the limit depends on the Python version
            raise LoadUnreadableError("returned an invalid load: it must be a JSON object") from error

    async def _body(self, url: URL) -> bytes:
        async with self._session.get(url, allow_redirects=False) as response:
            if response.status != _OK:
                raise LoadUnreadableError(f"answered with status {response.status}")
            body = bytearray()
            while part := await response.content.read(MAX_BODY_BYTES + 1 - len(body)):
                body += part
                if len(body) > MAX_BODY_BYTES:
                    # Leaving the context closes the connection: the rest is not read.
                    raise LoadUnreadableError(f"answered with more than {MAX_BODY_BYTES} bytes")
            return bytes(body)


def _url(ip: str, http: HTTPLoad) -> URL:
    """Returns the URL. The path is quoted, so that no character of it changes the host or port, or ends the path."""
    try:
        address = ip_address(ip)
    except ValueError as error:  # the pod has no address yet
        raise LoadUnreadableError("has no IP address") from error
    host = f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004 - IPv6
    path = "/" + quote(http.path.removeprefix("/"))
    return URL.build(scheme="http", host=host, port=http.port, path=path, encoded=True)


def _error_message(error: Exception) -> str:
    """Returns the message for an error whose own text may contain a part of the response."""
    match error:
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return "refused the connection"
        case aiohttp.ClientConnectorError(os_error=OSError(errno=int(number))):
            return f"could not be connected to: {strerror(number)}"
        case aiohttp.ClientResponseError():
            return "returned invalid HTTP"
        case _:
            return "closed the connection before its answer was complete"
