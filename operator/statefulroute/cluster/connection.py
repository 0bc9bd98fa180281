"""Loads the connection to the cluster from a kubeconfig or from the pod's ServiceAccount."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

from yarl import URL

from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.environment_proxy import environment_proxy
from statefulroute.cluster.errors import NotConnectedError
from statefulroute.cluster.impersonation import Impersonation
from statefulroute.cluster.service_account import in_cluster_connection, is_in_cluster

_PROXY_SCHEMES = ("http", "https")


@asynccontextmanager
async def connect(
    kubeconfig: Path | None = None, context: str | None = None, impersonation: Impersonation | None = None
) -> AsyncIterator[Connection]:
    """Loads the cluster's configuration as kubectl does, and refreshes its credentials while the context is open.

    The order of precedence is: the argument, `$KUBECONFIG`, the pod's ServiceAccount, `~/.kube/config`. A given context
    requires a kubeconfig, also in a pod. With a kubeconfig, the environment may name a proxy.

    Args:
        kubeconfig: the path of a kubeconfig.
        context: the context to use; None is the kubeconfig's current context.
        impersonation: the user that requests are made as; what it does not set is from the kubeconfig.

    Raises:
        NotConnectedError: the configuration does not exist or is not usable.
    """
    async with AsyncExitStack() as stack:
        try:
            connection = await _load(stack, kubeconfig, context)
            if impersonation is not None:
                connection = replace(connection, impersonation=connection.impersonation.override(impersonation))
            connection.impersonation.headers()  # fails if they are not valid
        except Exception as error:  # the Kubernetes library raises any exception for a malformed kubeconfig
            raise NotConnectedError(
                f"cannot load the cluster's configuration ({_one_line(error)}); "
                "name a kubeconfig with --kubeconfig or $KUBECONFIG"
            ) from error
        yield connection


async def _load(stack: AsyncExitStack, kubeconfig: Path | None, context: str | None) -> Connection:
    configured = kubeconfig or os.environ.get("KUBECONFIG") or None
    if configured is None and context is None and is_in_cluster():
        return in_cluster_connection()
    paths = str(configured or Path.home() / ".kube/config")
    return _with_proxy(await _load_kubeconfigs(stack, paths, context))


async def _load_kubeconfigs(stack: AsyncExitStack, paths: str, context: str | None) -> Connection:
    """Loads the connection of kubeconfigs, whose libraries are an extra: a pod does without."""
    if not _exists(paths):
        raise NotConnectedError(f"there is no file {paths}")
    with _requires("yaml", "a kubeconfig is YAML"):
        from statefulroute.cluster.plain_kubeconfig import plain_connection  # noqa: PLC0415 - see above
    with _requires("truststore", f"{paths} names no CA certificates"):
        if (connection := plain_connection(Path(paths), context)) is not None:
            return connection
        with _requires(
            "kubernetes", f"{paths} is several files, has an exec plugin or an auth provider, or is malformed"
        ):
            # This import takes longer than most commands run.
            from statefulroute.cluster.full_kubeconfig import full_connection  # noqa: PLC0415
        return await stack.enter_async_context(full_connection(paths, context))


def _exists(paths: str) -> bool:
    return any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path)


@contextmanager
def _requires(package: str, reason: str) -> Iterator[None]:
    """Explains how to install a package if an import in the context fails for want of it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise NotConnectedError(f"{reason}: pip install 'statefulroute[kubeconfig]' to read it") from error


def _with_proxy(connection: Connection) -> Connection:
    """Returns the connection with the proxy of the environment, unless the kubeconfig names one."""
    proxy = connection.proxy or environment_proxy(connection.server, os.environ)
    if proxy is not None and URL(proxy).scheme not in _PROXY_SCHEMES:
        raise NotConnectedError(f"the proxy {proxy} is not supported: only HTTP and HTTPS proxies are")
    return replace(connection, proxy=proxy)


def _one_line(error: Exception) -> str:
    if isinstance(error, AttributeError | KeyError | TypeError):
        return "it is not a kubeconfig"
    return " ".join(str(error).split()) or type(error).__name__
