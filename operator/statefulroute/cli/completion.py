"""Shell completion: typer completes commands and options, and this module names of objects in the cluster."""

import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from statefulroute.cli.cluster import Cluster

PROGRAM = "statefulroute"
VARIABLE = "_STATEFULROUTE_COMPLETE"
"""The environment variable with which the script of a shell requests completions."""

_TIMEOUT_SECONDS, _MAX_NAMES = 3.0, 200

#: The directives to kubectl: no file names; or file names if there are no other completions, as other shells do.
_NO_FILES, _FILES = ":4", ":0"


def is_completion_request() -> bool:
    """Returns whether the script of a shell has started this program for completions."""
    return VARIABLE in os.environ


def enable_shell_completion() -> None:
    """Make typer answer completion requests, without its own options that install a script."""
    from typer._completion_classes import completion_init  # noqa: PLC0415 - it has no public name

    completion_init()


def complete_for_kubectl(app: typer.Typer) -> None:
    """Print the completions of the words that kubectl passes: a name a line, and a directive."""
    from typer._completion_classes import BashComplete  # noqa: PLC0415 - it has no public name

    *words, incomplete = sys.argv[1:] or [""]
    completer = BashComplete(typer.main.get_command(app), {}, PROGRAM, VARIABLE)
    items = completer.get_completions(words, incomplete)
    for item in items:
        typer.echo(f"{item.value}\t{' '.join(item.help.split())}" if item.help else item.value)
    typer.echo(_NO_FILES if items else _FILES)


def route_names(context: typer.Context, incomplete: str) -> list[str]:
    """Returns the names of the routes in the namespace."""

    async def list_names(cluster: "Cluster") -> list[str]:
        from statefulroute.api.group import STATEFUL_ROUTE  # noqa: PLC0415

        return await _first_names(cluster, cluster.path(STATEFUL_ROUTE))

    return _query(context, incomplete, list_names)


def pod_names(context: typer.Context, incomplete: str) -> list[str]:
    """Returns the names of the pods of the route that the command line names."""

    async def list_names(cluster: "Cluster") -> list[str]:
        from statefulroute.api.group import STATEFUL_ROUTE  # noqa: PLC0415

        route = await cluster.get(cluster.path(STATEFUL_ROUTE, context.params["route"]))
        return [pod["name"] for pod in route["status"]["pods"]]

    return _query(context, incomplete, list_names)


def namespace_names(context: typer.Context, incomplete: str) -> list[str]:
    """Returns the names of the namespaces."""

    async def list_names(cluster: "Cluster") -> list[str]:
        return await _first_names(cluster, "/api/v1/namespaces")

    return _query(context, incomplete, list_names)


async def _first_names(cluster: "Cluster", path: str) -> list[str]:
    """Returns the names of the first objects at a path."""
    import msgspec  # noqa: PLC0415

    page = msgspec.json.decode(await cluster.client.get(path, {"limit": str(_MAX_NAMES)}))
    return [item["metadata"]["name"] for item in page["items"]]


def _query(
    context: typer.Context, incomplete: str, list_names: Callable[["Cluster"], Awaitable[list[str]]]
) -> list[str]:
    """Returns the names that start with the incomplete word; none if the cluster cannot be queried.

    Errors are ignored: a shell would print them into the command line.
    """
    with suppress(Exception):
        import asyncio  # noqa: PLC0415
        from pathlib import Path  # noqa: PLC0415

        from statefulroute.cli.runner import ClusterOptions  # noqa: PLC0415

        params = context.params
        kubeconfig = params.get("kubeconfig")
        options = ClusterOptions(
            Path(kubeconfig) if kubeconfig else None,
            params.get("context"),
            params.get("namespace"),
            as_user=params.get("as_user"),
            as_group=params.get("as_group"),
            as_uid=params.get("as_uid"),
        )

        async def query() -> list[str]:
            async with asyncio.timeout(_TIMEOUT_SECONDS), options.connect() as cluster:
                return await list_names(cluster)

        return [name for name in asyncio.run(query()) if name.startswith(incomplete)]
    return []
