"""The commands that read. What they do is loaded when it is asked for."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from statefulroute.cli import completion
from statefulroute.cli.command_options import AllNamespaces, Format, Namespace, NoHeaders, Output, Watch
from statefulroute.cli.options import Context, Kubeconfig

if TYPE_CHECKING:
    from statefulroute.cli.cluster import Cluster
    from statefulroute.cli.output.table import Terminal


class PhaseChoice(StrEnum):
    """Where a link can stand."""

    PENDING = "Pending"
    BOUND = "Bound"
    LOST = "Lost"
    REJECTED = "Rejected"


class StreamFormat(StrEnum):
    """How a stream is written."""

    TABLE = "table"
    JSON = "json"


OptionalRoute = Annotated[
    str | None,
    typer.Argument(metavar="ROUTE", help="Only this StatefulRoute.", autocompletion=completion.route_names),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (routes, pods, links, whereis, events, top):
        app.command()(command)


def routes(  # noqa: PLR0913 - an option each
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Only these StatefulRoutes.", autocompletion=completion.route_names),
    ] = None,
    *,
    output: Format = Output.TABLE,
    watch: Watch = False,
    no_headers: NoHeaders = False,
    all_namespaces: AllNamespaces = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show services, and how they are.

    LOAD is the mean weighted load of the pods, and BEST the pod that takes the next user.
    """
    from statefulroute.cli.commands.routes import show_routes  # noqa: PLC0415
    from statefulroute.cli.output.listing import ListOptions  # noqa: PLC0415

    view = ListOptions(output, watch, no_headers)
    _run(
        (kubeconfig, context, namespace),
        lambda cluster, terminal: show_routes(cluster, terminal, names or (), view),
        everywhere=all_namespaces,
    )


def pods(  # noqa: PLR0913 - an option each
    route: Annotated[
        str, typer.Argument(metavar="ROUTE", help="The StatefulRoute.", autocompletion=completion.route_names)
    ],
    *,
    output: Format = Output.TABLE,
    watch: Watch = False,
    no_headers: NoHeaders = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show the pods of a service.

    STATE is what Kubernetes says of a pod, ROUTING whom it takes, and FRESHNESS whether its load counts.
    """
    from statefulroute.cli.commands.pods import show_pods  # noqa: PLC0415
    from statefulroute.cli.output.listing import ListOptions  # noqa: PLC0415

    view = ListOptions(output, watch, no_headers)
    _run((kubeconfig, context, namespace), lambda cluster, terminal: show_pods(cluster, terminal, route, view))


def links(  # noqa: PLR0913 - an option each
    route: OptionalRoute = None,
    *,
    uid: Annotated[str | None, typer.Option(help="Only those of this user (or room, document, session).")] = None,
    pod: Annotated[str | None, typer.Option(help="Only those on this pod: its name, or its index.")] = None,
    phase: Annotated[PhaseChoice | None, typer.Option(help="Only those that stand so.", case_sensitive=False)] = None,
    output: Format = Output.TABLE,
    watch: Watch = False,
    no_headers: NoHeaders = False,
    all_namespaces: AllNamespaces = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show who is where."""
    from statefulroute.cli.commands.links import LinkFilter, show_links  # noqa: PLC0415
    from statefulroute.cli.output.listing import ListOptions  # noqa: PLC0415

    view, which = ListOptions(output, watch, no_headers), LinkFilter(route, uid, pod, phase)
    _run(
        (kubeconfig, context, namespace),
        lambda cluster, terminal: show_links(cluster, terminal, which, view),
        everywhere=all_namespaces,
    )


def whereis(  # noqa: PLR0913 - an option each
    uid: Annotated[str, typer.Argument(metavar="UID", help="The user (or room, document, session).")],
    *,
    output: Format = Output.TABLE,
    no_headers: NoHeaders = False,
    all_namespaces: AllNamespaces = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Find the pods that hold a user.

    Each service is asked by the name of the link, and no list of links is read; ADDRESS is where the pod answers now.
    """
    from statefulroute.cli.commands.whereis import show_whereis  # noqa: PLC0415
    from statefulroute.cli.output.listing import ListOptions  # noqa: PLC0415

    view = ListOptions(output, no_headers=no_headers)
    _run(
        (kubeconfig, context, namespace),
        lambda cluster, terminal: show_whereis(cluster, terminal, uid, view),
        everywhere=all_namespaces,
    )


def events(  # noqa: PLR0913 - an option each
    route: OptionalRoute = None,
    *,
    output: Annotated[StreamFormat, typer.Option("--output", "-o", help="How to write it.")] = StreamFormat.TABLE,
    no_headers: NoHeaders = False,
    all_namespaces: AllNamespaces = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Tell of bindings and moves as they happen.

    Changes of routing states are told, too; Ctrl-C ends it.
    """
    from statefulroute.cli.commands.events import show_events  # noqa: PLC0415

    as_json = output is StreamFormat.JSON
    _run(
        (kubeconfig, context, namespace),
        lambda cluster, terminal: show_events(cluster, terminal, route, as_json=as_json, no_headers=no_headers),
        everywhere=all_namespaces,
    )


def top(
    route: OptionalRoute = None,
    *,
    all_namespaces: AllNamespaces = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Watch pods and moves on the whole terminal."""
    from statefulroute.cli.commands.top import show_top  # noqa: PLC0415

    _run(
        (kubeconfig, context, namespace),
        lambda cluster, terminal: show_top(cluster, terminal, route),
        everywhere=all_namespaces,
    )


def _run(
    place: tuple[Path | None, str | None, str | None],
    work: "Callable[[Cluster, Terminal], Awaitable[int | None]]",
    *,
    everywhere: bool = False,
) -> None:
    """Carry a command out where it was told to."""
    from statefulroute.cli.cluster import ClusterOptions, run  # noqa: PLC0415
    from statefulroute.cli.output.table import Terminal  # noqa: PLC0415

    run(ClusterOptions(*place, all_namespaces=everywhere), lambda cluster: work(cluster, Terminal()))
