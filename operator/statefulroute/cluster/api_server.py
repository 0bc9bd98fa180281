"""The address and the credentials of an API server; the module `connection` loads them."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Protocol, Self

import aiohttp
from yarl import URL

from statefulroute.cluster.fence import Fence
from statefulroute.cluster.impersonation import Impersonation
from statefulroute.cluster.keepalive import keepalive_socket
from statefulroute.cluster.request_metrics import RequestObserver, observe_requests

#: Identifies this program in `managedFields` of objects and in the API server's log.
_USER_AGENT = f"statefulroute/{version('statefulroute')}"

_CONNECT_SECONDS = 10.0


class Credentials(Protocol):
    """Credentials for requests."""

    async def authorization(self) -> str:
        """Returns the value of the Authorization header for a request.

        Raises:
            NotConnectedError: the credentials are not available.
        """

    async def refresh(self) -> str:
        """Reloads the credentials after the API server refused them, and returns the value of the header.

        Raises:
            NotConnectedError: the credentials are not available.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """The address of an API server, and the credentials for it.

    Attributes:
        server: the URL, without a trailing slash.
        tls: the trusted CA certificates, and the client certificate if there is one.
        ca_file: the file of the CA certificates; it is reloaded when the API server's certificate is not trusted. The
            process trusts the earlier certificates, too, until it exits.
        credentials: the credentials for the Authorization header; None if a client certificate is sufficient.
        server_name: the expected name in the server's certificate; None is the name in the URL.
        proxy: the URL of a proxy.
        impersonation: the user that requests are made as.
        namespace: the default namespace.
        is_of_pod: whether it is that of the ServiceAccount of the pod that this process runs in, without a kubeconfig.
        fence: checks every write before it is sent; None allows all writes.
    """

    server: str
    tls: ssl.SSLContext
    ca_file: Path | None = None
    credentials: Credentials | None = None
    server_name: str | None = None
    proxy: str | None = None
    impersonation: Impersonation = field(default_factory=Impersonation)
    namespace: str = "default"
    is_of_pod: bool = False
    fence: Fence | None = None

    def with_fence(self, fence: Fence | None) -> Self:
        """Returns a copy of the connection whose writes the fence checks."""
        return replace(self, fence=fence)

    def session(
        self, max_connections: int, observer: RequestObserver | None = None, *middlewares: aiohttp.ClientMiddlewareType
    ) -> aiohttp.ClientSession:
        """Creates an HTTP session to the API server, with current credentials for every request.

        Args:
            max_connections: the maximum number of requests in progress, including watches; 0 is unlimited.
            observer: called with the record of every request, for users that do not record requests themselves.
            middlewares: further middlewares, inside of the observer.
        """
        observers = () if observer is None else (observe_requests(observer, URL(self.server).raw_path.rstrip("/")),)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=max_connections, ssl=self.tls, keepalive_timeout=75, socket_factory=keepalive_socket
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            headers=[("User-Agent", _USER_AGENT), *self.impersonation.headers()],
            middlewares=(*middlewares, *self._middlewares(), *observers),
            request_class=aiohttp.ClientRequest if self.fence is None else self.fence.request_class(),
            proxy=self.proxy,
            read_bufsize=2**18,
        )

    def _middlewares(self) -> Iterator[aiohttp.ClientMiddlewareType]:
        """Yields the middlewares that this connection needs; with a client certificate, there may be none."""
        if self.credentials is not None:
            yield self._authorize
        if self.server_name is not None:
            yield self._expect_server_name
        if self.ca_file is not None:
            yield self._reload_ca

    async def _authorize(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Adds the Authorization header; retries a refused request if the credentials have changed."""
        if self.credentials is None:
            return await handler(request)
        header = request.headers["Authorization"] = await self.credentials.authorization()
        response = await handler(request)
        if response.status == HTTPStatus.UNAUTHORIZED and (new_header := await self.credentials.refresh()) != header:
            response.release()
            request.headers["Authorization"] = new_header
            response = await handler(request)
        return response

    async def _reload_ca(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Reloads the CA certificates and retries if the server's certificate is not trusted: no data was sent yet."""
        try:
            return await handler(request)
        except aiohttp.ClientConnectorCertificateError:
            self.tls.load_verify_locations(cafile=self.ca_file)
            return await handler(request)

    async def _expect_server_name(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Expects the kubeconfig's server name in the certificate instead of the host name."""
        request.server_hostname = self.server_name
        return await handler(request)
