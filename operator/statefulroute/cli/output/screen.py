"""The screen of `top`: pods with their load and links, and the latest changes."""

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
from statefulroute.cli.link_changes import LinkChange
from statefulroute.cli.output.loads import links_label, load_style
from statefulroute.cli.output.messages import printable
from statefulroute.cli.output.table import EMPTY
from statefulroute.cli.output.terminal import bar
from statefulroute.domain.annotations import format_milli
from statefulroute.domain.load import MILLI
from statefulroute.domain.route import Route
from statefulroute.domain.service import total_links

#: How many of the latest changes are kept.
_MAX_CHANGES = 200

_REFRESH_SECONDS = 0.5

_MIN_BAR_COLUMNS, _MAX_BAR_COLUMNS = 4, 30

#: The columns of a row without names and bars: states, numbers, and the padding of the table.
_FIXED_COLUMNS = 48

_COLORS = {"good": "green", "warn": "yellow", "bad": "red", "": ""}
_STATE_COLORS = {
    "Ready": "green",
    "DenyNewCall": "yellow",
    "NotReady": "yellow",
    "Pending": "yellow",
    "Terminating": "yellow",
}


@dataclass(slots=True)
class ScreenState:
    """What the screen shows.

    Attributes:
        title: the namespace.
        routes: the routes by namespace and name.
        changes: the latest changes, with their times.
        warning: the present problem of the connection; empty if there is none.
    """

    title: str
    routes: Mapping[tuple[str, str], Route]
    changes: deque[tuple[datetime, LinkChange]] = field(default_factory=lambda: deque(maxlen=_MAX_CHANGES))
    warning: str = ""

    def summary(self) -> str:
        """Returns the title, the totals and the warning in one line."""
        links = sum(route.status.links or 0 for route in self.routes.values())
        omitted = sum(route.status.omitted_pods.count for route in self.routes.values() if route.status.omitted_pods)
        pods = sum(len(route.status.pods) for route in self.routes.values()) + omitted
        counts = ((len(self.routes), "route"), (pods, "pod"), (links, "link"))
        totals = ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts)
        totals += f" ({omitted} pods are not listed)" if omitted else ""
        return f"{self.title}: {totals}" + (f"   {self.warning}" if self.warning else "")

    def pods(self) -> Iterator[tuple[Route, PodStatus]]:
        """Yields every listed pod with its route, ordered by route and pod."""
        for _, route in sorted(self.routes.items()):
            for pod in route.status.pods:
                yield route, pod


class TopApp(App[None]):
    """The application of the screen.

    Args:
        state: what the screen shows; it is drawn twice a second.
        update_state: a coroutine function that keeps the state up to date until it is cancelled.
    """

    BINDINGS: ClassVar[list[BindingType]] = [("q", "quit", "Quit"), ("ctrl+c", "quit", "Quit")]
    CSS = "#summary, #keys { height: 1; } #pods { height: 2fr; } #changes { height: 1fr; }"
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, state: ScreenState, update_state: Callable[[], Awaitable[None]] | None = None) -> None:
        super().__init__()
        self._state = state
        self._update_state = update_state

    def compose(self) -> ComposeResult:
        """Yields the widgets of the screen."""
        yield Static(id="summary")
        yield DataTable[Text](id="pods", cursor_type="row")
        yield Static(id="changes")
        yield Static("q quits", id="keys")

    def on_mount(self) -> None:
        """Create the columns, and start drawing."""
        table = self.query_one("#pods", DataTable)
        for name in ("ROUTE", "POD", "STATE", "ROUTING", "LOAD", "LINKS"):
            table.add_column(name, key=name)
        self.call_after_refresh(self.draw)  # the size is not known before
        self.set_interval(_REFRESH_SECONDS, self.draw)
        if self._update_state is not None:
            self.run_worker(self._update_state(), exit_on_error=True)

    def on_resize(self) -> None:
        """Fit the bars to the new size."""
        self.draw()

    def draw(self) -> None:
        """Show the present state."""
        self.query_one("#summary", Static).update(Text(self._state.summary(), "bold"))
        self._draw_pods(self.query_one("#pods", DataTable))
        changes = self.query_one("#changes", Static)
        rows = max(1, changes.size.height)
        latest = list(self._state.changes)[-rows:]
        changes.update(Text("\n").join(_change_line(time, change) for time, change in latest))

    def _draw_pods(self, table: DataTable[Text]) -> None:
        if not table.columns:  # not mounted yet
            return
        width = _bar_width(self.size.width, list(self._state.pods()))
        rows = {
            f"{route.namespace}/{route.name}/{pod.name}": _row(route, pod, width) for route, pod in self._state.pods()
        }
        if [key.value for key in table.rows] != list(rows):
            cursor = table.cursor_row
            table.clear()
            for key, row in rows.items():
                table.add_row(*row, key=key)
            table.move_cursor(row=cursor)
            return
        for key, row in rows.items():
            for column, cell in zip(table.columns, row, strict=True):
                if table.get_cell(key, column) != cell:
                    table.update_cell(key, column, cell, update_width=True)


def _bar_width(screen: int, pods: Sequence[tuple[Route, PodStatus]]) -> int:
    """Returns the width of each of the two bars of a row; 0 if they do not fit."""
    names = max((len(route.name) for route, _ in pods), default=0) + max((len(pod.name) for _, pod in pods), default=0)
    columns = (screen - names - _FIXED_COLUMNS) // 2
    return min(columns, _MAX_BAR_COLUMNS) if columns >= _MIN_BAR_COLUMNS else 0


def _row(route: Route, pod: PodStatus, width: int) -> tuple[Text, ...]:
    limit = route.spec.placement.max_links_per_pod
    maximum = limit or max(total_links(each) for each in route.status.pods)
    links = total_links(pod)
    fraction = links / max(1, maximum)
    is_best = route.status.best_pod_name == pod.name
    return (
        Text(route.name),
        Text(pod.name, "bold" if is_best else ""),
        Text(pod.service_state, _STATE_COLORS.get(pod.service_state, "red")),
        Text(pod.routing_state, _STATE_COLORS.get(pod.routing_state, "red")),
        _load(route, pod, width),
        _number_with_bar(
            links_label(pod.links, links), fraction, _COLORS[load_style(fraction)] if limit else "cyan", width
        ),
    )


def _load(route: Route, pod: PodStatus, width: int) -> Text:
    if pod.weighted_load_milli is None:
        return Text(EMPTY)
    fraction = pod.weighted_load_milli / MILLI / max(1, route.spec.workload_thresholds.overloaded)
    style = "dim" if pod.load_stale else _COLORS[load_style(fraction)]
    return _number_with_bar(format_milli(pod.weighted_load_milli), fraction, style, width)


def _number_with_bar(text: str, fraction: float, style: str, width: int) -> Text:
    return Text.assemble(f"{text:>5} ", (bar(fraction, width), style)) if width else Text(f"{text:>5}", style)


def _change_line(time: datetime, change: LinkChange) -> Text:
    return Text.assemble(
        (time.strftime("%H:%M:%S  "), "dim"),
        f"{change.route}  ",
        (printable(change.subject), "bold"),
        f"  {change.before} -> {change.after}  {change.reason}",
    )
