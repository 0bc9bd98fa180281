"""Which namespaces the console shows: all that the user may read."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from statefulroute.api.group import API_VERSION, POD_LINK, STATEFUL_ROUTE
from statefulroute.cli.checks.installation import is_allowed
from statefulroute.cli.cluster import Cluster
from statefulroute.cluster.errors import APIError

_FORBIDDEN = 403

#: The maximum number of namespaces that are watched one by one: each takes two connections.
MAX_NAMESPACES = 50

#: The number of namespaces whose permissions are checked, and how many of them at the same time.
_MAX_CHECKED, _PARALLEL = 1_000, 8


@dataclass(frozen=True, slots=True)
class Scope:
    """The namespaces that the console shows.

    Attributes:
        namespaces: their names; none means the whole cluster.
        label: what the page shows.
    """

    namespaces: tuple[str, ...]
    label: str


async def find_scope(cluster: Cluster, namespace: str | None) -> Scope:
    """Returns the namespaces that the user may read.

    Args:
        cluster: the cluster, with the namespace of the context.
        namespace: the only namespace to show; None is for all.

    Raises:
        ClusterError: the API server does not answer, or the user may read nothing.
    """
    if namespace is not None:
        await _read_once(cluster, namespace)
        return Scope((namespace,), f"namespace {namespace}")
    try:
        await _read_once(cluster, None)
    except APIError as error:
        if error.status != _FORBIDDEN:
            raise
    else:
        return Scope((), "all namespaces")
    readable = (await _readable(cluster, await _list_namespaces(cluster)))[:MAX_NAMESPACES]
    if len(readable) > 1:
        return Scope(tuple(readable), f"{len(readable)} namespaces")
    only = readable[0] if readable else cluster.one_namespace()
    await _read_once(cluster, only)
    return Scope((only,), f"namespace {only}")


async def _read_once(cluster: Cluster, namespace: str | None) -> None:
    """Reads one object of each kind: a reflector retries without end."""
    within = f"/namespaces/{namespace}" if namespace else ""
    for kind in (STATEFUL_ROUTE, POD_LINK):
        await cluster.client.get(f"/apis/{API_VERSION}{within}/{kind.plural}", {"limit": "1"})


async def _list_namespaces(cluster: Cluster) -> Sequence[str]:
    """Returns the names of the namespaces, as far as the user may list them."""
    try:
        names = [item["metadata"]["name"] async for item in cluster.objects("/api/v1/namespaces")]
    except APIError as error:
        if error.status != _FORBIDDEN:
            raise
        return ()
    return names[:_MAX_CHECKED]


async def _readable(cluster: Cluster, namespaces: Sequence[str]) -> list[str]:
    slots = asyncio.Semaphore(_PARALLEL)

    async def check(namespace: str) -> bool:
        async with slots:
            within = replace(cluster, namespace=namespace)
            return all([await is_allowed(within, "watch", kind.plural) for kind in (STATEFUL_ROUTE, POD_LINK)])

    answers = await asyncio.gather(*map(check, namespaces))
    return [namespace for namespace, allowed in zip(namespaces, answers, strict=True) if allowed]
