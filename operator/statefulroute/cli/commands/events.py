"""`events`: prints bindings, moves and changes of routing states, a line each."""

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from statefulroute.cli.cluster import Cluster
from statefulroute.cli.cluster_command import cluster_command
from statefulroute.cli.options import NoHeaders, OptionalRoute, ReportOutput, ReportOutputOption
from statefulroute.cli.output.messages import print_message
from statefulroute.cli.output.table import Cell, Table
from statefulroute.cli.output.terminal import Terminal
from statefulroute.cli.runner import ClusterOptions, run
from statefulroute.cluster.clock import utc_now

if TYPE_CHECKING:
    from statefulroute.cli.link_changes import LinkChange

_HEADER = ("TIME", "NAMESPACE", "ROUTE", "WHO", "FROM -> TO", "REASON")

#: The minimum widths of the columns: rows arrive one by one, and stay aligned unless a name is longer.
_WIDTHS = (20, 12, 8, 12, 20, 0)

_STYLES = {
    "PodLost": "bad",
    "Removed": "dim",
    "Expired": "dim",
    "Bound": "good",
    "Moved": "warn",
    "HandingOver": "warn",
    "HandedOver": "warn",
}


@cluster_command(all_namespaces=True)
def events(
    route: OptionalRoute = None,
    *,
    output: ReportOutputOption = ReportOutput.TABLE,
    no_headers: NoHeaders = False,
    cluster_options: ClusterOptions,
) -> None:
    """Print bindings and moves as they happen.

    Hand-overs and changes of routing states are printed, too; Ctrl-C stops the command.
    """
    as_json = output is ReportOutput.JSON
    run(
        cluster_options,
        lambda cluster: show_events(cluster, Terminal(), route, as_json=as_json, no_headers=no_headers),
    )


async def show_events(
    cluster: Cluster, terminal: Terminal, route: str | None, *, as_json: bool, no_headers: bool
) -> None:
    """Write every change from now on, until Ctrl-C.

    Raises:
        CommandError: the route does not exist.
    """
    from statefulroute.cli.change_watcher import watch_changes  # noqa: PLC0415 - `events --help` starts faster

    has_namespaces = cluster.namespace is None
    shown = [index for index, name in enumerate(_HEADER) if has_namespaces or name != "NAMESPACE"]
    header, widths = [_HEADER[index] for index in shown], [_WIDTHS[index] for index in shown]
    table = Table(terminal, header, no_header=no_headers, widths=widths)
    async with watch_changes(cluster, route, lambda warning: print_message(f"note: {warning}", err=True)) as watcher:
        if not as_json:
            table.write([])  # the header shows that the watch has started
        while True:
            change = await watcher.changes.get()
            if as_json:
                terminal.write(_document(change, utc_now()))
                terminal.stream.flush()
            else:
                table.write([_row(change, utc_now(), has_namespaces=has_namespaces)])


def _row(change: "LinkChange", now: datetime, *, has_namespaces: bool) -> list[Cell | str]:
    return [
        _format_time(now),
        *((change.namespace,) if has_namespaces else ()),
        change.route,
        Cell(change.subject, "bold"),
        f"{change.before} -> {change.after}",
        Cell(change.reason_label, _STYLES.get(change.reason, "")),
    ]


def _document(change: "LinkChange", now: datetime) -> str:
    values = {"time": _format_time(now), **msgspec.to_builtins(change)}
    names = {"before": "from", "after": "to", "hand_over_to": "handOverTo"}
    renamed = {names.get(key, key): value for key, value in values.items() if value is not None}
    return msgspec.json.encode(renamed).decode() + "\n"


def _format_time(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
