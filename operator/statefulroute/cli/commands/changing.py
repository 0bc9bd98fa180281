"""The commands that change something, `check`, and `completion`. What they do is loaded when it is asked for."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from statefulroute.cli import completion as completions
from statefulroute.cli.command_options import AllNamespaces, Namespace
from statefulroute.cli.options import Context, Kubeconfig

if TYPE_CHECKING:
    from statefulroute.cli.cluster import Cluster


class DryRun(StrEnum):
    """Whether anything is written."""

    NONE = "none"
    SERVER = "server"


class RoutingStateChoice(StrEnum):
    """Whom a service can be told to take."""

    READY = "Ready"
    DENY_NEW_CALL = "DenyNewCall"
    SHUTDOWN = "Shutdown"


class ReportFormat(StrEnum):
    """How `check` writes what it has found."""

    TABLE = "table"
    JSON = "json"


#: The longest time that fits into a field.
_MOST = 2**31 - 1

Route = Annotated[
    str, typer.Argument(metavar="ROUTE", help="The StatefulRoute.", autocompletion=completions.route_names)
]
Uid = Annotated[str, typer.Argument(metavar="UID", help="The user (or room, document, session).")]
Pod = Annotated[
    str, typer.Argument(metavar="POD", help="The pod: its index or its name.", autocompletion=completions.pod_names)
]
Ttl = Annotated[
    int | None,
    typer.Option(
        "--ttl", min=1, max=_MOST, metavar="SECONDS", help="Make the link a temporary one of so many seconds."
    ),
]
IfLinkedTo = Annotated[
    str | None,
    typer.Option(
        "--if-linked-to",
        metavar="POD",
        help="Only if the link is to this very pod; else the exit code is 1.",
        autocompletion=completions.pod_names,
    ),
]
DryRunOption = Annotated[
    DryRun, typer.Option("--dry-run", help="server: have the API server judge it, and keep nothing of it.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(link)
    app.command()(move)
    app.command()(unlink)
    app.command("export")(export_)
    app.command("import")(import_)
    app.command()(drain)
    app.command()(undrain)
    app.command()(set_state)
    app.command()(release)
    app.command()(check)
    app.command()(completion)
    if completions.is_completion_request():
        completions.enable_shell_completion()


def link(  # noqa: PLR0913 - an option each
    route: Route,
    uid: Uid,
    pod: Annotated[
        str | None,
        typer.Argument(
            metavar="[POD]",
            help="The pod: its index or its name; without it, the operator chooses.",
            autocompletion=completions.pod_names,
        ),
    ] = None,
    *,
    only_try: Annotated[
        bool, typer.Option("--try", help="Not if there is a persistent link to another pod; then the exit code is 1.")
    ] = False,
    ttl: Ttl = None,
    timeout: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for the pod that the operator chooses.")
    ] = 30,
    dry_run: DryRunOption = DryRun.NONE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Bind a user to a pod, or to one that the operator chooses."""
    if pod is None and only_try:
        raise typer.BadParameter("--try needs a POD: without one, nobody is moved anyway")
    from statefulroute.cli.commands import link as link_work  # noqa: PLC0415

    rehearse = dry_run is DryRun.SERVER
    _run(
        (kubeconfig, context, namespace),
        lambda cluster: (
            link_work.link_to_any(cluster, route, uid, ttl_seconds=ttl, timeout_seconds=timeout, dry_run=rehearse)
            if pod is None
            else link_work.link(cluster, route, uid, pod, only_try=only_try, ttl_seconds=ttl, dry_run=rehearse)
        ),
    )


def move(  # noqa: PLR0913 - an option each
    route: Route,
    uid: Uid,
    pod: Pod,
    *,
    if_linked_to: IfLinkedTo = None,
    ttl: Ttl = None,
    dry_run: DryRunOption = DryRun.NONE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Move a user who has a link to another pod; a temporary link keeps its TTL, and is renewed."""
    from statefulroute.cli.commands import link as link_work  # noqa: PLC0415

    _run(
        (kubeconfig, context, namespace),
        lambda cluster: link_work.move(
            cluster, route, uid, pod, only_from=if_linked_to, ttl_seconds=ttl, dry_run=dry_run is DryRun.SERVER
        ),
    )


def unlink(  # noqa: PLR0913 - an option each
    route: Route,
    uid: Uid,
    *,
    if_linked_to: IfLinkedTo = None,
    grace: Annotated[
        int | None,
        typer.Option(min=1, max=_MOST, metavar="SECONDS", help="Let the link live on for so many seconds."),
    ] = None,
    dry_run: DryRunOption = DryRun.NONE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Remove the link of a user, at once or after a grace."""
    if if_linked_to is not None and grace is not None:
        raise typer.BadParameter("--if-linked-to and --grace exclude each other")
    from statefulroute.cli.commands import link as link_work  # noqa: PLC0415

    _run(
        (kubeconfig, context, namespace),
        lambda cluster: link_work.unlink(
            cluster, route, uid, only_from=if_linked_to, grace_seconds=grace, dry_run=dry_run is DryRun.SERVER
        ),
    )


def export_(
    route: Annotated[
        str | None,
        typer.Argument(metavar="[ROUTE]", help="Only the links of this route.", autocompletion=completions.route_names),
    ] = None,
    *,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Write the links as lines of JSON: a backup, or a move to another cluster."""
    from statefulroute.cli.commands.export import export_links  # noqa: PLC0415

    _run((kubeconfig, context, namespace), lambda cluster: export_links(cluster, route))


def import_(  # noqa: PLR0913 - an option each
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="What `export` has written; without it, or as -, the standard input."),
    ] = None,
    *,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Change links that are there to what the file says.")
    ] = False,
    dry_run: DryRunOption = DryRun.NONE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Make the links that `export` has written. One that was broken off goes on where it was when it is run again."""
    from statefulroute.cli.commands.import_ import import_links  # noqa: PLC0415

    _run(
        (kubeconfig, context, namespace),
        lambda cluster: import_links(cluster, file, overwrite=overwrite, dry_run=dry_run is DryRun.SERVER),
    )


def drain(  # noqa: PLR0913 - an option each
    route: Route,
    pod: Pod,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until no user remains; Ctrl-C leaves the drain going.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long to wait; 0 is for ever.")] = 0,
    shutdown: Annotated[
        bool, typer.Option("--shutdown", help="Take nobody: users are moved or released at once, as onPodLost says.")
    ] = False,
    dry_run: DryRunOption = DryRun.NONE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Have a pod take no new users; it keeps those that it has."""
    from statefulroute.api.vocabulary import RoutingState  # noqa: PLC0415
    from statefulroute.cli.commands import drain as drain_work  # noqa: PLC0415

    state = RoutingState.SHUTDOWN if shutdown else RoutingState.DENY_NEW_CALL
    _run(
        (kubeconfig, context, namespace),
        lambda cluster: drain_work.drain(
            cluster, route, pod, state, wait_seconds=timeout if wait else None, dry_run=dry_run is DryRun.SERVER
        ),
    )


def undrain(  # noqa: PLR0913 - an option each
    route: Route,
    pod: Pod,
    *,
    dry_run: DryRunOption = DryRun.NONE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Have a drained pod take new users again."""
    from statefulroute.cli.commands import drain as drain_work  # noqa: PLC0415

    _run(
        (kubeconfig, context, namespace),
        lambda cluster: drain_work.undrain(cluster, route, pod, dry_run=dry_run is DryRun.SERVER),
    )


def set_state(  # noqa: PLR0913 - an option each
    route: Route,
    state: Annotated[
        RoutingStateChoice, typer.Argument(help="Ready: everybody; DenyNewCall: those it has; Shutdown: nobody.")
    ],
    *,
    dry_run: DryRunOption = DryRun.NONE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Say whom a whole service takes."""
    from statefulroute.api.vocabulary import RoutingState  # noqa: PLC0415
    from statefulroute.cli.commands import drain as drain_work  # noqa: PLC0415

    _run(
        (kubeconfig, context, namespace),
        lambda cluster: drain_work.set_state(cluster, route, RoutingState(state), dry_run=dry_run is DryRun.SERVER),
    )


def release(  # noqa: PLR0913 - an option each
    *,
    operator: Annotated[
        str | None,
        typer.Option("--operator", metavar="NAMESPACE/NAME", help="Stop the operator of this Deployment first."),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, metavar="SECONDS", help="How long the operator may take to stop.")
    ] = 60.0,
    dry_run: DryRunOption = DryRun.NONE,
    all_namespaces: AllNamespaces = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Take the operator's finalizer and notes off, before it is removed; links and routes stay."""
    from statefulroute.cli.commands import release as release_work  # noqa: PLC0415

    async def work(cluster: "Cluster") -> int:
        stop = None if operator is None else release_work.Deployment.parse(operator)
        return await release_work.release(cluster, stop, timeout, dry_run=dry_run is DryRun.SERVER)

    _run((kubeconfig, context, namespace), work, everywhere=all_namespaces)


def check(
    *,
    output: Annotated[ReportFormat, typer.Option("--output", "-o", help="How to write it.")] = ReportFormat.TABLE,
    all_namespaces: AllNamespaces = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Say what is wrong, and how to put it right; the exit code is 1 where something is."""
    from statefulroute.cli.commands import check as check_work  # noqa: PLC0415

    _run(
        (kubeconfig, context, namespace),
        lambda cluster: check_work.check(cluster, as_json=output is ReportFormat.JSON),
        everywhere=all_namespaces,
    )


def completion(caller: typer.Context, shell: Annotated[completions.Shell, typer.Argument(help="The shell.")]) -> None:
    """Print what a shell has to read to complete `statefulroute`; kubectl completes the plugin by itself.

    For bash: source <(statefulroute completion bash)
    """
    typer.echo(completions.completion_script(caller.find_root().command, shell))


def _run(
    place: tuple[Path | None, str | None, str | None],
    work: "Callable[[Cluster], Awaitable[int | None]]",
    *,
    everywhere: bool = False,
) -> None:
    """Carry a command out where it was told to."""
    from statefulroute.cli.cluster import ClusterOptions, run  # noqa: PLC0415

    run(ClusterOptions(*place, all_namespaces=everywhere), work)
