"""`top`: pods with their load and links, and what happens, live on a terminal."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Static

from statefulroute.api.statefulroute import PodStatus
from statefulroute.cli.change_watcher import ChangeWatcher, watch_changes
from statefulroute.cli.cluster import Cluster, CommandError
from statefulroute.cli.commands.routes import load_style
from statefulroute.cli.link_changes import LinkChange
from statefulroute.cli.output.printable import printable
from statefulroute.cli.output.table import EMPTY, Terminal, bar
from statefulroute.cluster.clock import utc_now
from statefulroute.domain.annotations import format_milli
from statefulroute.domain.load import MILLI
from statefulroute.domain.route import Route

#: How many of the latest happenings are kept.
_KEPT = 200

_REFRESH_SECONDS = 0.5

_SHORTEST_BAR, _LONGEST_BAR = 4, 30

#: What a line takes besides its names and bars: states, figures, and the table's own space around its columns.
_TEXTS = 48

_COLOURS = {"good": "green", "warn": "yellow", "bad": "red", "": ""}
_STATES = {
    "Ready": "green",
    "DenyNewCall": "yellow",
    "NotReady": "yellow",
    "Pending": "yellow",
    "Terminating": "yellow",
}


@dataclass(slots=True)
class ScreenState:
    """What there is to be shown.

    Attributes:
        title: where.
        routes: the routes.
        changes: the latest of what has happened, with its time.
        warning: what is wrong with the connection; empty where nothing is known to be.
    """

    title: str
    routes: Mapping[tuple[str, str], Route]
    changes: deque[tuple[datetime, LinkChange]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    warning: str = ""

    def summary(self) -> str:
        """The whole in one line."""
        links = sum(route.status.links or 0 for route in self.routes.values())
        pods = sum(len(route.status.pods) for route in self.routes.values())
        counted = [f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in
                   ((len(self.routes), "route"), (pods, "pod"), (links, "link"))]  # fmt: skip
        return f"{self.title}: {', '.join(counted)}" + (f"   {self.warning}" if self.warning else "")

    def pods(self) -> Iterator[tuple[Route, PodStatus]]:
        """Every pod with its route, in the order of their names and indexes."""
        for _, route in sorted(self.routes.items()):
            for pod in route.status.pods:
                yield route, pod


class TopApp(App[None]):
    """The screen.

    Args:
        scene: what is shown; it is looked at anew twice a second.
        follow: keeps the scene up to date for as long as it is awaited.
    """

    BINDINGS: ClassVar[list[BindingType]] = [("q", "quit", "Quit"), ("ctrl+c", "quit", "Quit")]
    CSS = "#summary, #keys { height: 1; } #pods { height: 2fr; } #happenings { height: 1fr; }"
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, scene: ScreenState, follow: Callable[[], Awaitable[None]] | None = None) -> None:
        super().__init__()
        self._scene = scene
        self._follow = follow

    def compose(self) -> ComposeResult:
        """The parts of the screen."""
        yield Static(id="summary")
        yield DataTable[Text](id="pods", cursor_type="row")
        yield Static(id="happenings")
        yield Static("q quits", id="keys")

    def on_mount(self) -> None:
        """Begin."""
        table = self.query_one("#pods", DataTable)
        for name in ("ROUTE", "POD", "STATE", "ROUTING", "LOAD", "LINKS"):
            table.add_column(name, key=name)
        self.call_after_refresh(self.draw)  # only then it is known how much room there is
        self.set_interval(_REFRESH_SECONDS, self.draw)
        if self._follow is not None:
            self.run_worker(self._follow(), exit_on_error=True)

    def on_resize(self) -> None:
        """Fit the bars to the room."""
        self.draw()

    def draw(self) -> None:
        """Show the scene as it is now."""
        self.query_one("#summary", Static).update(Text(self._scene.summary(), "bold"))
        self._draw_pods(self.query_one("#pods", DataTable))
        happenings = self.query_one("#happenings", Static)
        room = max(1, happenings.size.height)
        latest = list(self._scene.changes)[-room:]
        happenings.update(Text("\n").join(_line(time, each) for time, each in latest))

    def _draw_pods(self, table: DataTable[Text]) -> None:
        if not table.columns:  # it is not there yet
            return
        width = _bar_width(self.size.width, list(self._scene.pods()))
        rows = {
            f"{route.namespace}/{route.name}/{pod.name}": _row(route, pod, width) for route, pod in self._scene.pods()
        }
        if [key.value for key in table.rows] != list(rows):
            line = table.cursor_row
            table.clear()
            for key, row in rows.items():
                table.add_row(*row, key=key)
            table.move_cursor(row=line)
            return
        for key, row in rows.items():
            for column, cell in zip(table.columns, row, strict=True):
                if table.get_cell(key, column) != cell:
                    table.update_cell(key, column, cell, update_width=True)


def _bar_width(screen: int, pods: Sequence[tuple[Route, PodStatus]]) -> int:
    """The room that is left for each of the two bars of a line; 0 where it is too little."""
    names = max((len(route.name) for route, _ in pods), default=0) + max((len(pod.name) for _, pod in pods), default=0)
    room = (screen - names - _TEXTS) // 2
    return min(room, _LONGEST_BAR) if room >= _SHORTEST_BAR else 0


def _row(route: Route, pod: PodStatus, width: int) -> tuple[Text, ...]:
    limit = route.spec.placement.max_links_per_pod
    most = limit or max(each.links for each in route.status.pods)
    links = pod.links / max(1, most)
    is_best = route.status.best_pod_name == pod.name
    return (
        Text(route.name),
        Text(pod.name, "bold" if is_best else ""),
        Text(pod.service_state, _STATES.get(pod.service_state, "red")),
        Text(pod.routing_state, _STATES.get(pod.routing_state, "red")),
        _load(route, pod, width),
        _figure(str(pod.links), links, _COLOURS[load_style(links)] if limit else "cyan", width),
    )


def _load(route: Route, pod: PodStatus, width: int) -> Text:
    if pod.weighted_load_milli is None:
        return Text(EMPTY)
    part = pod.weighted_load_milli / MILLI / max(1, route.spec.workload_thresholds.overloaded)
    style = "dim" if pod.load_stale else _COLOURS[load_style(part)]
    return _figure(format_milli(pod.weighted_load_milli), part, style, width)


def _figure(text: str, part: float, style: str, width: int) -> Text:
    return Text.assemble(f"{text:>5} ", (bar(part, width), style)) if width else Text(f"{text:>5}", style)


def _line(time: datetime, happening: LinkChange) -> Text:
    return Text.assemble(
        (time.strftime("%H:%M:%S  "), "dim"),
        f"{happening.route}  ",
        (printable(happening.subject), "bold"),
        f"  {happening.before} -> {happening.after}  {happening.reason}",
    )


async def show_top(cluster: Cluster, terminal: Terminal, route: str | None) -> None:
    """Show pods, and what happens, until q is pressed.

    Raises:
        SentenceError: there is no terminal, or no such route.
    """
    if not terminal.is_terminal:
        raise CommandError("top needs a terminal: use `pods --watch` or `events` without one")
    scene = ScreenState(cluster.namespace or "all namespaces", {})

    def complain(complaint: str) -> None:
        scene.warning = f"{utc_now():%H:%M:%S} {complaint}"

    async with watch_changes(cluster, route, complain) as watch:
        scene.routes = watch.routes
        await TopApp(scene, lambda: _follow(watch, scene)).run_async()


async def _follow(watch: ChangeWatcher, scene: ScreenState) -> None:
    while True:
        happening = await watch.changes.get()
        scene.changes.append((utc_now(), happening))
        scene.warning = ""  # the connection is there again
