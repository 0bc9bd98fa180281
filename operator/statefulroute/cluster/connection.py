"""How to reach the cluster: a kubeconfig, or the ServiceAccount of the pod that this runs in."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.errors import NotConnectedError
from statefulroute.cluster.plain_kubeconfig import plain_connection
from statefulroute.cluster.service_account import in_cluster_connection, is_in_cluster


@asynccontextmanager
async def connect(kubeconfig: Path | None = None, context: str | None = None) -> AsyncIterator[Connection]:
    """Load the cluster's configuration as kubectl does, and keep its credentials fresh.

    The kubeconfig that is named wins, then `$KUBECONFIG`, then the pod's own ServiceAccount, then `~/.kube/config`. A
    context that is named asks for a kubeconfig, also in a pod.

    Args:
        kubeconfig: the path of a kubeconfig.
        context: the context to use; the kubeconfig's current one unless given.

    Raises:
        NotConnectedError: there is no such configuration, or it cannot be used.
    """
    async with AsyncExitStack() as stack:
        try:
            connection = await _load(stack, kubeconfig, context)
        except Exception as error:  # what a garbled kubeconfig makes Kubernetes' library stumble over is of any kind
            raise NotConnectedError(
                f"cannot load the cluster's configuration ({_one_line(error)}); "
                "name a kubeconfig with --kubeconfig or $KUBECONFIG"
            ) from error
        yield connection


async def _load(stack: AsyncExitStack, kubeconfig: Path | None, context: str | None) -> Connection:
    named = kubeconfig or os.environ.get("KUBECONFIG") or None
    if named is None and context is None and is_in_cluster():
        return in_cluster_connection()
    paths = str(named or Path.home() / ".kube/config")
    if (plain := plain_connection(Path(paths), context)) is not None:
        return plain
    # Imported where it is needed: it takes longer than most commands.
    from statefulroute.cluster.full_kubeconfig import full_connection  # noqa: PLC0415

    return await stack.enter_async_context(full_connection(paths, context))


def _one_line(error: Exception) -> str:
    if isinstance(error, AttributeError | KeyError | TypeError):
        return "it is not of a kubeconfig's form"
    return " ".join(str(error).split()) or type(error).__name__
