"""Forwards requests of a fault proxy to the API server."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

#: Headers of a single connection (RFC 9110, 7.6.1), or headers that are generated again.
_HOP_BY_HOP = (
    "Connection",
    "Content-Length",
    "Host",
    "Keep-Alive",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
)


class Upstream:
    """The API server.

    Args:
        server: the URL.
        tls: the trusted certificates and the client certificate.
    """

    def __init__(self, server: str, tls: ssl.SSLContext) -> None:
        self._server = server.rstrip("/")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=tls),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            auto_decompress=False,
            read_bufsize=2**18,
        )

    @asynccontextmanager
    async def forward(self, request: web.BaseRequest, body: bytes) -> AsyncIterator[aiohttp.ClientResponse]:
        """Sends the client's request."""
        url = URL(self._server + request.raw_path, encoded=True)
        headers = forwarded_headers(request.headers)
        async with self._session.request(
            request.method, url, headers=headers, data=body or None, allow_redirects=False
        ) as response:
            yield response

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()


def forwarded_headers(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Returns the headers to forward."""
    passed = CIMultiDict(headers)
    for name in _HOP_BY_HOP:
        passed.popall(name, None)
    return passed
