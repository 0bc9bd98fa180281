"""Asking pods for their load over HTTP. A pod may answer anything: nothing that it says is trusted or passed on."""

import asyncio
from importlib.metadata import version
from ipaddress import ip_address
from os import strerror
from typing import Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from statefulroute.api.statefulroute import HTTPLoad
from statefulroute.domain.load import LoadResponse, parse_load_response

#: How long an answer's body may be, in bytes; a load takes less than a hundred.
MAX_BODY_BYTES = 4096

_OK = 200

_HEADERS = {
    "User-Agent": f"statefulroute/{version('statefulroute')}",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
}


class LoadUnreadableError(Exception):
    """A pod did not answer with its load.

    The text is the end of a sentence that begins with the pod. It is the same each time for the same cause, and repeats
    nothing of the answer.
    """


class LoadClient:
    """Asks pods for their load; leaving its context closes every connection.

    Its connections have nothing in common with those to the API server: no credentials, no cookies, no proxy. Each is
    for one request: a pod is asked every half a minute or so, when it may have closed a connection that was kept, and
    thousands of idle connections would cost more than they spare.

    Args:
        max_parallel: how many pods may be asked at the same time; further ones wait.
    """

    def __init__(self, max_parallel: int = 64) -> None:
        self._slots = asyncio.Semaphore(max_parallel)
        self._session = aiohttp.ClientSession(
            # Within a slot there is always a connection to be had: waiting for one would count as the pod's time.
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

    async def get_load(self, ip: str, http: HTTPLoad) -> LoadResponse:
        """What a pod answers.

        Args:
            ip: the pod's IPv4 or IPv6 address.
            http: where in the pod, and how long it may take once it is asked.

        Raises:
            LoadUnreadableError: it did not answer with its load.
        """
        url = _url(ip, http)
        async with self._slots:
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
            raise LoadUnreadableError(f"answered with what is no load: {error}") from error
        except RecursionError as error:  # brackets in brackets; how many are too many depends on the Python
            raise LoadUnreadableError("answered with what is no load: it must be a JSON object") from error

    async def _body(self, url: URL) -> bytes:
        async with self._session.get(url, allow_redirects=False) as response:
            if response.status != _OK:
                raise LoadUnreadableError(f"answered with status {response.status}")
            body = bytearray()
            while part := await response.content.read(MAX_BODY_BYTES + 1 - len(body)):
                body += part
                if len(body) > MAX_BODY_BYTES:
                    # Leaving the response closes its connection: the rest is not read.
                    raise LoadUnreadableError(f"answered with more than {MAX_BODY_BYTES} bytes")
            return bytes(body)


def _url(ip: str, http: HTTPLoad) -> URL:
    """Where to ask. The path is taken literally: no letter of it can lead to another host or port, or end the path."""
    try:
        address = ip_address(ip)
    except ValueError as error:  # a pod that has none yet
        raise LoadUnreadableError("has no IP address") from error
    host = f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004 - IPv6
    path = "/" + quote(http.path.removeprefix("/"))
    return URL.build(scheme="http", host=host, port=http.port, path=path, encoded=True)


def _error_message(error: Exception) -> str:
    """What to say of an error, of which the text may hold a part of the answer."""
    match error:
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return "refused the connection"
        case aiohttp.ClientConnectorError(os_error=OSError(errno=int(number))):
            return f"could not be connected to: {strerror(number)}"
        case aiohttp.ClientResponseError():
            return "answered with what is no HTTP"
        case _:
            return "closed the connection before its answer was complete"
