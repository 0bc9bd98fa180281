"""What a shell offers at TAB: commands and options by typer's own means, and live names where they are cheap."""

import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from statefulroute.cli.cluster import Cluster

_PROGRAM = "statefulroute"
_VARIABLE = "_STATEFULROUTE_COMPLETE"

#: Nobody waits longer for a TAB, nor reads through more names.
_SECONDS, _NAMES = 3.0, 200

#: What kubectl is told besides the names: to offer no files, or, where there is no name, files, as other shells do.
_NO_FILES, _FILES = ":4", ":0"


class Shell(StrEnum):
    """The shells that completion is for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion_script(command: Any, shell: Shell) -> str:  # noqa: ANN401 - typer brings a click of its own, and hides it
    """What a shell has to read to complete `statefulroute`."""
    from typer import _completion_classes as shells  # noqa: PLC0415 - they have no public name

    answerers: dict[Shell, type[shells.BashComplete | shells.ZshComplete | shells.FishComplete]] = {
        Shell.BASH: shells.BashComplete,
        Shell.ZSH: shells.ZshComplete,
        Shell.FISH: shells.FishComplete,
    }
    return answerers[shell](command, {}, _PROGRAM, _VARIABLE).source().strip()


def is_completion_request() -> bool:
    """Whether a shell that has read the script runs this program to know what to offer."""
    return _VARIABLE in os.environ


def enable_shell_completion() -> None:
    """Have typer answer such a shell: its own options to install a script are not wanted."""
    from typer._completion_classes import completion_init  # noqa: PLC0415 - it has no public name

    completion_init()


def complete_for_kubectl(app: typer.Typer) -> None:
    """Answer kubectl, which asks with the words so far: a name a line, and what else may be offered."""
    from typer._completion_classes import BashComplete  # noqa: PLC0415 - it has no public name

    *words, incomplete = sys.argv[1:] or [""]
    answerer = BashComplete(typer.main.get_command(app), {}, _PROGRAM, _VARIABLE)
    found = answerer.get_completions(words, incomplete)
    for item in found:
        typer.echo(f"{item.value}\t{' '.join(item.help.split())}" if item.help else item.value)
    typer.echo(_NO_FILES if found else _FILES)


def route_names(context: typer.Context, incomplete: str) -> list[str]:
    """The names of the routes here."""

    async def ask(cluster: "Cluster") -> list[str]:
        from statefulroute.api.group import STATEFUL_ROUTE  # noqa: PLC0415

        return await _listed(cluster, cluster.path(STATEFUL_ROUTE))

    return _live(context, incomplete, ask)


def pod_names(context: typer.Context, incomplete: str) -> list[str]:
    """The names of the pods of the route that was named already."""

    async def ask(cluster: "Cluster") -> list[str]:
        from statefulroute.api.group import STATEFUL_ROUTE  # noqa: PLC0415

        route = await cluster.get(cluster.path(STATEFUL_ROUTE, context.params["route"]))
        return [pod["name"] for pod in route["status"]["pods"]]

    return _live(context, incomplete, ask)


def namespace_names(context: typer.Context, incomplete: str) -> list[str]:
    """The names of the namespaces."""

    async def ask(cluster: "Cluster") -> list[str]:
        return await _listed(cluster, "/api/v1/namespaces")

    return _live(context, incomplete, ask)


async def _listed(cluster: "Cluster", path: str) -> list[str]:
    """The names of the first objects below a path."""
    import msgspec  # noqa: PLC0415

    page = msgspec.json.decode(await cluster.client.get(path, {"limit": str(_NAMES)}))
    return [item["metadata"]["name"] for item in page["items"]]


def _live(context: typer.Context, incomplete: str, ask: Callable[["Cluster"], Awaitable[list[str]]]) -> list[str]:
    """Names from the cluster; none where it cannot be asked: a TAB is no place for an error."""
    with suppress(Exception):
        import asyncio  # noqa: PLC0415
        from pathlib import Path  # noqa: PLC0415

        from statefulroute.cli.cluster import ClusterOptions  # noqa: PLC0415

        said = context.params
        kubeconfig = said.get("kubeconfig")
        target = ClusterOptions(Path(kubeconfig) if kubeconfig else None, said.get("context"), said.get("namespace"))

        async def reach() -> list[str]:
            async with asyncio.timeout(_SECONDS), target.connect() as cluster:
                return await ask(cluster)

        return [name for name in asyncio.run(reach()) if name.startswith(incomplete)]
    return []
