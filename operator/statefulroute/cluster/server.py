"""An API server as requests need it: its address, and how to be let in. How that is found out is `connection`'s."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Protocol, Self

import aiohttp
from yarl import URL

from statefulroute.cluster.exchange import Observer, observing
from statefulroute.cluster.fence import Fence

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """An API server's address and the credentials for it.

    Attributes:
        server: its URL, without a slash at its end.
        tls: which certificates are trusted, and the client's own where it has one.
        credentials: what goes into the Authorization header; None where a certificate is enough.
        server_name: the name that its certificate is to have, where that is not the address's.
        proxy: the URL of a proxy on the way to it.
        namespace: the one to work in unless another is named.
        fence: what every write has to pass before it is sent; None lets all pass.
    """

    server: str
    tls: ssl.SSLContext
    credentials: Credentials | None = None
    server_name: str | None = None
    proxy: str | None = None
    namespace: str = "default"
    fence: Fence | None = None

    def behind(self, fence: Fence | None) -> Self:
        """The same connection, whose writes have to pass a fence."""
        return replace(self, fence=fence)

    def session(self, connections: int, observe: Observer | None = None) -> aiohttp.ClientSession:
        """A new HTTP session to the API server, with credentials that are fresh at every request.

        Args:
            connections: how many requests, watches included, may be under way at the same time.
            observe: is told of every request: for users of the session who do not tell of them.
        """
        observers = () if observe is None else (observing(observe, URL(self.server).raw_path.rstrip("/")),)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, ssl=self.tls, keepalive_timeout=75),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            headers={"User-Agent": _USER_AGENT},
            middlewares=(*self._middlewares(), *observers),
            request_class=aiohttp.ClientRequest if self.fence is None else self.fence.requests(),
            proxy=self.proxy,
            read_bufsize=2**18,
        )

    def _middlewares(self) -> Iterator[aiohttp.ClientMiddlewareType]:
        """Only those that are needed: with a client certificate and a plain name, a request costs nothing extra."""
        if self.credentials is not None:
            yield self._authorize
        if self.server_name is not None:
            yield self._expect_server_name

    async def _authorize(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if self.credentials is not None:
            request.headers["Authorization"] = await self.credentials.authorization()
        return await handler(request)

    async def _expect_server_name(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Expect in the certificate the name that the kubeconfig gives, and not the address's."""
        request.server_hostname = self.server_name
        return await handler(request)
