"""Loads kubeconfigs with the Kubernetes library: several files, exec plugins, auth providers."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from kubernetes.aio import config
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.field_logger import get_logger
from statefulroute.cluster.impersonation import Impersonation
from statefulroute.cluster.system_trust import system_context

log = get_logger(__name__)

_TOKEN_CHECK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Credentials:
    """The credentials of a configuration of the Kubernetes library."""

    configuration: Configuration

    async def authorization(self) -> str:
        """Returns the current header; the library replaces the token before it expires."""
        token = await self.configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        # A token from a file may end with a newline, which a header must not contain.
        return (token or str(self.configuration.get_basic_auth_token())).strip()

    async def refresh(self) -> str:
        """Returns the current header: the library calls a plugin before a token expires, so no newer token exists."""
        return await self.authorization()


@asynccontextmanager
async def full_connection(paths: str, context: str | None = None) -> AsyncIterator[Connection]:
    """Loads the connection from one or more kubeconfigs, and refreshes its credentials while the context is open.

    Args:
        paths: the paths of the files, separated as in `$KUBECONFIG`.
        context: the context to use; None is the current context.

    Raises:
        Exception: the files are not usable; for a malformed kubeconfig, the library raises any exception.
    """
    configuration = Configuration(host="")
    loader = await _load(paths, context, configuration)
    namespace = loader.current_context["context"].get("namespace") or "default"
    connection = _connection(configuration, namespace, _user(loader))
    refresh = asyncio.create_task(_refresh_credentials(loader, configuration)) if _expires(loader) else None
    try:
        yield connection
    finally:
        if refresh is not None:
            refresh.cancel()
            with suppress(asyncio.CancelledError):
                await refresh


def _user(loader: Any) -> Mapping[str, Any] | None:  # noqa: ANN401 - as below
    """Returns the user of the context; None if there is none."""
    return None if loader._user is None else loader._user.value  # noqa: SLF001 - as in `_expires`


def _connection(configuration: Configuration, namespace: str, user: Mapping[str, Any] | None) -> Connection:
    has_credentials = bool(configuration.api_key or configuration.username)
    return Connection(
        server=configuration.host.rstrip("/"),
        tls=_tls(configuration),
        credentials=_Credentials(configuration) if has_credentials else None,
        server_name=configuration.tls_server_name or None,
        proxy=configuration.proxy or None,
        impersonation=Impersonation.from_kubeconfig(user),
        namespace=namespace,
    )


def _tls(configuration: Configuration) -> ssl.SSLContext:
    if configuration.ssl_ca_cert or configuration.ca_cert_data or not configuration.verify_ssl:
        tls: ssl.SSLContext = RESTClientObject(configuration).ssl_context
        return tls
    tls = system_context()
    if configuration.cert_file:
        tls.load_cert_chain(configuration.cert_file, configuration.key_file)
    return tls


async def _load(paths: str, context: str | None, configuration: Configuration) -> Any:  # noqa: ANN401 - the library has no type for it
    """Loads the kubeconfigs and returns the library's loader."""
    loader = await config.load_kube_config(paths, context, configuration, persist_config=False)
    if not configuration.host:
        raise config.ConfigException("the context's cluster has no server")
    if _expires(loader) and not (configuration.api_key or configuration.cert_file):
        raise config.ConfigException("the context's user has an exec plugin that gave no credentials")
    return loader


def _expires(loader: Any) -> bool:  # noqa: ANN401 - as above
    """Returns whether the credentials expire and need a refresh."""
    user = loader._user  # noqa: SLF001 - the library's refresh_token() does the same, but fails without a user
    return user is not None and ("exec" in user or loader.provider == "gcp")


async def _refresh_credentials(loader: Any, configuration: Configuration) -> None:  # noqa: ANN401 - as above
    """Requests a new token before the current one expires; retries a plugin that fails."""
    while True:
        await asyncio.sleep(_TOKEN_CHECK_SECONDS)
        try:
            await (loader.load_gcp_token() if loader.provider == "gcp" else loader.load_from_exec_plugin())
        except Exception:
            log.exception("the token was not refreshed: trying again")
        if token := getattr(loader, "token", None):
            configuration.api_key["BearerToken"] = token
