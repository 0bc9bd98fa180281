"""How to reach the cluster: a kubeconfig, or the ServiceAccount of the pod that this runs in."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import structlog
from kubernetes.aio import config
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from statefulroute.cluster.errors import NotConnectedError

log = structlog.get_logger(__name__)

#: Names the writer in an object's `managedFields` and in the API server's log.
_USER_AGENT = f"statefulroute/{version('statefulroute')}"

_CONNECT_SECONDS = 10.0
_TOKEN_CHECK_SECONDS = 60.0


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
        """Asked at every request: a ServiceAccount's token is rotated every hour.

        Raises:
            NotConnectedError: the token's file is empty.
        """
        try:
            token = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        except config.ConfigException as error:
            raise NotConnectedError(f"cannot read the token of the ServiceAccount ({error})") from error
        # A file that a person wrote ends with a newline, which no header may hold.
        request.headers["Authorization"] = (token or str(self._configuration.get_basic_auth_token())).strip()
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
    configuration = Configuration(host="")
    named = kubeconfig or os.environ.get("KUBECONFIG") or None
    in_cluster = named is None and "KUBERNETES_SERVICE_HOST" in os.environ
    loader: Any | None = None
    try:
        if in_cluster:
            config.load_incluster_config(configuration)
        else:
            loader = await _load_kubeconfig(str(named or Path.home() / ".kube/config"), context, configuration)
        connection = Connection(
            configuration.host.rstrip("/"), configuration, RESTClientObject(configuration).ssl_context
        )
    except Exception as error:  # what a garbled kubeconfig makes the library stumble over is of any kind
        raise NotConnectedError(
            f"cannot load the cluster's configuration ({_in_one_line(error)}); "
            "name a kubeconfig with --kubeconfig or $KUBECONFIG"
        ) from error
    refresh = asyncio.create_task(_keep_fresh(loader, configuration)) if loader else None
    try:
        yield connection
    finally:
        if refresh is not None:
            refresh.cancel()
            with suppress(asyncio.CancelledError):
                await refresh


async def _load_kubeconfig(paths: str, context: str | None, configuration: Configuration) -> Any | None:  # noqa: ANN401 - the library has no type for it
    """Load a kubeconfig, or several of them; gives the loader where it has credentials that end."""
    if not _is_there(paths):
        raise config.ConfigException(f"there is no file {paths}")
    loader = await config.load_kube_config(paths, context, configuration, persist_config=False)
    if not configuration.host:
        raise config.ConfigException("the context's cluster has no server")
    user = loader._user  # noqa: SLF001 - the library's own refresh_token() does the same, and fails without a user
    if user is None or not ("exec" in user or loader.provider == "gcp"):
        return None
    if not (configuration.api_key or configuration.cert_file):
        raise config.ConfigException("the context's user has an exec plugin that gave no credentials")
    return loader


def _is_there(paths: str) -> bool:
    return any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path)


async def _keep_fresh(loader: Any, configuration: Configuration) -> None:  # noqa: ANN401 - as above
    """Ask for the next token before the one from an exec plugin ends; a plugin that fails is asked again."""
    while True:
        await asyncio.sleep(_TOKEN_CHECK_SECONDS)
        try:
            await (loader.load_gcp_token() if loader.provider == "gcp" else loader.load_from_exec_plugin())
        except Exception:
            log.exception("the next token was not given: trying again")
        if token := getattr(loader, "token", None):
            configuration.api_key["BearerToken"] = token


def _in_one_line(error: Exception) -> str:
    if isinstance(error, AttributeError | KeyError | TypeError):
        return "it is not of a kubeconfig's form"
    return " ".join(str(error).split()) or type(error).__name__
