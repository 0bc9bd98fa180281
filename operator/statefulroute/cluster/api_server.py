"""An API server as requests need it: its address, and how to be let in. How that is found out is `connection`'s."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Protocol, Self

import aiohttp
from yarl import URL

from statefulroute.cluster.fence import Fence
from statefulroute.cluster.keepalive import keepalive_socket
from statefulroute.cluster.request_metrics import RequestObserver, observe_requests

#: Names the writer in an object's `managedFields` and in the API server's log.
_USER_AGENT = f"statefulroute/{version('statefulroute')}"

_CONNECT_SECONDS = 10.0


class Credentials(Protocol):
    """What lets requests in."""

    async def authorization(self) -> str:
        """The value of the Authorization header, fresh for each request.

        Raises:
            NotConnectedError: there is none.
        """

    async def refresh(self) -> str:
        """The same, found out anew: what `authorization` gave was refused.

        Raises:
            NotConnectedError: there is none.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """An API server's address and the credentials for it.

    Attributes:
        server: its URL, without a slash at its end.
        tls: which certificates are trusted, and the client's own where it has one.
        ca_file: the file that the trusted certificates were read from; it is read again when the API server shows
            another one. What was trusted once stays trusted until the process ends.
        credentials: what goes into the Authorization header; None where a certificate is enough.
        server_name: the name that its certificate is to have, where that is not the address's.
        proxy: the URL of a proxy on the way to it.
        namespace: the one to work in unless another is named.
        fence: what every write has to pass before it is sent; None lets all pass.
    """

    server: str
    tls: ssl.SSLContext
    ca_file: Path | None = None
    credentials: Credentials | None = None
    server_name: str | None = None
    proxy: str | None = None
    namespace: str = "default"
    fence: Fence | None = None

    def with_fence(self, fence: Fence | None) -> Self:
        """The same connection, whose writes have to pass a fence."""
        return replace(self, fence=fence)

    def session(
        self, max_connections: int, observer: RequestObserver | None = None, *middlewares: aiohttp.ClientMiddlewareType
    ) -> aiohttp.ClientSession:
        """A new HTTP session to the API server, with credentials that are fresh at every request.

        Args:
            max_connections: how many requests, watches included, may be under way at the same time; 0 is any number.
            observer: is told of every request: for users of the session who do not tell of them.
            middlewares: what else each request goes through, after it was told of.
        """
        observers = () if observer is None else (observe_requests(observer, URL(self.server).raw_path.rstrip("/")),)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=max_connections, ssl=self.tls, keepalive_timeout=75, socket_factory=keepalive_socket
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            headers={"User-Agent": _USER_AGENT},
            middlewares=(*middlewares, *self._middlewares(), *observers),
            request_class=aiohttp.ClientRequest if self.fence is None else self.fence.request_class(),
            proxy=self.proxy,
            read_bufsize=2**18,
        )

    def _middlewares(self) -> Iterator[aiohttp.ClientMiddlewareType]:
        """Only those that are needed: with a client certificate and a plain name, a request costs nothing extra."""
        if self.credentials is not None:
            yield self._authorize
        if self.server_name is not None:
            yield self._expect_server_name
        if self.ca_file is not None:
            yield self._reload_ca

    async def _authorize(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Say who asks; if that is refused and somebody has given us another token meanwhile, say it with that."""
        if self.credentials is None:
            return await handler(request)
        shown = request.headers["Authorization"] = await self.credentials.authorization()
        response = await handler(request)
        if response.status == HTTPStatus.UNAUTHORIZED and (other := await self.credentials.refresh()) != shown:
            response.release()
            request.headers["Authorization"] = other
            response = await handler(request)
        return response

    async def _reload_ca(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Read whom to trust again when somebody is not trusted: nothing was sent yet."""
        try:
            return await handler(request)
        except aiohttp.ClientConnectorCertificateError:
            self.tls.load_verify_locations(cafile=self.ca_file)
            return await handler(request)

    async def _expect_server_name(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Expect in the certificate the name that the kubeconfig gives, and not the address's."""
        request.server_hostname = self.server_name
        return await handler(request)
