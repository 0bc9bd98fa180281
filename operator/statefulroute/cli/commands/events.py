"""`events`: bindings, moves and routing states as they change, a line each."""

from datetime import datetime

import msgspec

from statefulroute.cli.change_watcher import watch_changes
from statefulroute.cli.cluster import Cluster
from statefulroute.cli.link_changes import LinkChange
from statefulroute.cli.output.messages import print_message
from statefulroute.cli.output.table import Cell, Table, Terminal
from statefulroute.cluster.clock import utc_now

_HEADER = ("TIME", "NAMESPACE", "ROUTE", "WHO", "FROM -> TO", "REASON")

#: The lines come one by one, and stand below each other as long as names are not longer than these.
_WIDTHS = (20, 12, 8, 12, 20, 0)

_STYLES = {"PodLost": "bad", "Removed": "dim", "Expired": "dim", "Bound": "good", "Moved": "warn"}


async def show_events(
    cluster: Cluster, terminal: Terminal, route: str | None, *, as_json: bool, no_headers: bool
) -> None:
    """Write what happens from now on, until Ctrl-C.

    Raises:
        SentenceError: there is no such route.
    """
    has_namespaces = cluster.namespace is None
    shown = [index for index, name in enumerate(_HEADER) if has_namespaces or name != "NAMESPACE"]
    header, widths = [_HEADER[index] for index in shown], [_WIDTHS[index] for index in shown]
    table = Table(terminal, header, no_header=no_headers, widths=widths)
    async with watch_changes(cluster, route, lambda complaint: print_message(f"note: {complaint}", err=True)) as watch:
        if not as_json:
            table.write([])  # the header says that the stream has begun
        while True:
            happening = await watch.changes.get()
            if as_json:
                terminal.write(_document(happening, utc_now()))
                terminal.stream.flush()
            else:
                table.write([_row(happening, utc_now(), has_namespaces=has_namespaces)])


def _row(happening: LinkChange, now: datetime, *, has_namespaces: bool) -> list[Cell | str]:
    return [
        _time(now),
        *((happening.namespace,) if has_namespaces else ()),
        happening.route,
        Cell(happening.subject, "bold"),
        f"{happening.before} -> {happening.after}",
        Cell(happening.reason, _STYLES.get(happening.reason, "")),
    ]


def _document(happening: LinkChange, now: datetime) -> str:
    values = {"time": _time(now), **msgspec.to_builtins(happening)}
    renamed = {{"before": "from", "after": "to"}.get(key, key): value for key, value in values.items()}
    return msgspec.json.encode(renamed).decode() + "\n"


def _time(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
