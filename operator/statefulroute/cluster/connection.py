"""How to reach the cluster: a kubeconfig, or the ServiceAccount of the pod that this runs in."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from statefulroute.cluster.errors import NotConnectedError

#: Names the writer in an object's `managedFields` and in the API server's log.
_USER_AGENT = f"statefulroute/{version('statefulroute')}"

_CONNECT_SECONDS = 10.0
_TOKEN_CHECK_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Connection:
    """A cluster's address and credentials.

    Attributes:
        server: the API server's URL, without a slash at its end.
    """

    server: str
    _configuration: Configuration
    _tls: ssl.SSLContext

    def session(self, connections: int) -> aiohttp.ClientSession:
        """A new HTTP session to the API server, with credentials that are fresh at every request.

        Args:
            connections: how many requests, watches included, may be under way at the same time.
        """
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, ssl=self._tls, keepalive_timeout=75),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            headers={"User-Agent": _USER_AGENT},
            middlewares=tuple(self._middlewares()),
            proxy=self._configuration.proxy,
            read_bufsize=2**18,
        )

    def _middlewares(self) -> Iterator[aiohttp.ClientMiddlewareType]:
        """Only those that are needed: with a client certificate and a plain name, a request costs nothing extra."""
        if self._configuration.api_key or self._configuration.username:
            yield self._authorize
        if self._configuration.tls_server_name:
            yield self._expect_server_name

    async def _authorize(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Asked at every request: a ServiceAccount's token is rotated every hour."""
        token = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        request.headers["Authorization"] = token or str(self._configuration.get_basic_auth_token())
        return await handler(request)

    async def _expect_server_name(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Expect in the certificate the name that the kubeconfig gives, and not the address's."""
        request.server_hostname = str(self._configuration.tls_server_name)
        return await handler(request)


@asynccontextmanager
async def connect(kubeconfig: Path | None = None, context: str | None = None) -> AsyncIterator[Connection]:
    """Load the cluster's configuration as kubectl does, and keep its credentials fresh.

    The kubeconfig that is named wins, then `$KUBECONFIG`, then the pod's own ServiceAccount, then `~/.kube/config`.

    Args:
        kubeconfig: the path of a kubeconfig.
        context: the context to use; the kubeconfig's current one unless given.

    Raises:
        NotConnectedError: there is no such configuration, or it cannot be used.
    """
    configuration = Configuration()
    named = kubeconfig or os.environ.get("KUBECONFIG")
    in_cluster = named is None and "KUBERNETES_SERVICE_HOST" in os.environ
    refresh: asyncio.Task[None] | None = None
    try:
        if in_cluster:
            config.load_incluster_config(configuration)
        else:
            path = str(named or Path.home() / ".kube/config")
            loader = await config.load_kube_config(path, context, configuration, persist_config=False)
            # An exec plugin's token ends; this asks for the next one in time.
            refresh = asyncio.create_task(config.refresh_token(loader, configuration, interval=_TOKEN_CHECK_SECONDS))
        connection = Connection(
            configuration.host.rstrip("/"), configuration, RESTClientObject(configuration).ssl_context
        )
    except (config.ConfigException, OSError, ValueError) as error:
        raise NotConnectedError(
            f"cannot load the cluster's configuration ({error}); name a kubeconfig with --kubeconfig or $KUBECONFIG"
        ) from error
    try:
        yield connection
    finally:
        if refresh is not None:
            refresh.cancel()
            with suppress(asyncio.CancelledError):
                await refresh
