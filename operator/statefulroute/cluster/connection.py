"""How to reach the cluster: a kubeconfig, or the ServiceAccount of the pod that this runs in."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from kubernetes.aio import config
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from statefulroute.cluster.errors import NotConnectedError
from statefulroute.cluster.server import Connection

log = structlog.get_logger(__name__)

_TOKEN_CHECK_SECONDS = 60.0

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class _Credentials:
    """Those of a configuration that the library keeps."""

    configuration: Configuration

    async def authorization(self) -> str:
        """Asked at every request: a ServiceAccount's token is rotated every hour.

        Raises:
            NotConnectedError: the token's file is empty.
        """
        try:
            token = await self.configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        except config.ConfigException as error:
            raise NotConnectedError(f"cannot read the token of the ServiceAccount ({error})") from error
        # A file that a person wrote ends with a newline, which no header may hold.
        return (token or str(self.configuration.get_basic_auth_token())).strip()


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
            namespace = _namespace_of_account()
        else:
            loader = await _load_kubeconfig(str(named or Path.home() / ".kube/config"), context, configuration)
            namespace = loader.current_context["context"].get("namespace") or "default"
        connection = _connection(configuration, namespace)
    except Exception as error:  # what a garbled kubeconfig makes the library stumble over is of any kind
        raise NotConnectedError(
            f"cannot load the cluster's configuration ({_in_one_line(error)}); "
            "name a kubeconfig with --kubeconfig or $KUBECONFIG"
        ) from error
    refresh = asyncio.create_task(_keep_fresh(loader, configuration)) if loader and _ends(loader) else None
    try:
        yield connection
    finally:
        if refresh is not None:
            refresh.cancel()
            with suppress(asyncio.CancelledError):
                await refresh


def _namespace_of_account() -> str:
    """The namespace of the ServiceAccount that this pod runs as."""
    return _NAMESPACE_FILE.read_text(encoding="utf-8").strip() if _NAMESPACE_FILE.exists() else "default"


def _connection(configuration: Configuration, namespace: str) -> Connection:
    has_credentials = bool(configuration.api_key or configuration.username)
    return Connection(
        server=configuration.host.rstrip("/"),
        tls=RESTClientObject(configuration).ssl_context,
        credentials=_Credentials(configuration) if has_credentials else None,
        server_name=configuration.tls_server_name or None,
        proxy=configuration.proxy or None,
        namespace=namespace,
    )


async def _load_kubeconfig(paths: str, context: str | None, configuration: Configuration) -> Any:  # noqa: ANN401 - the library has no type for it
    """Load a kubeconfig, or several of them; gives the loader."""
    if not _is_there(paths):
        raise config.ConfigException(f"there is no file {paths}")
    loader = await config.load_kube_config(paths, context, configuration, persist_config=False)
    if not configuration.host:
        raise config.ConfigException("the context's cluster has no server")
    if _ends(loader) and not (configuration.api_key or configuration.cert_file):
        raise config.ConfigException("the context's user has an exec plugin that gave no credentials")
    return loader


def _ends(loader: Any) -> bool:  # noqa: ANN401 - as above
    """Whether the credentials end, so that new ones have to be asked for."""
    user = loader._user  # noqa: SLF001 - the library's own refresh_token() does the same, and fails without a user
    return user is not None and ("exec" in user or loader.provider == "gcp")


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
