"""The screen of `top`: routes, pods with their load and links, and the latest changes."""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Static

from statefulroute.api.route_status import PodStatus
from statefulroute.cli.link_changes import LinkChange
from statefulroute.cli.output.loads import HANDING_OVER, links_label, load_style
from statefulroute.cli.output.messages import pluralize
from statefulroute.cli.output.screen_layout import (
    PodLayout,
    change_lines,
    closing_status,
    pack,
    pod_layout,
    route_lines,
    state_color,
)
from statefulroute.cli.output.table import EMPTY
from statefulroute.cli.output.terminal import bar
from statefulroute.cli.output.trends import Rates, Trends, sparkline
from statefulroute.cluster.clock import utc_now
from statefulroute.domain.milli import MILLI, format_milli
from statefulroute.domain.route import Route
from statefulroute.domain.service import total_links

#: How many of the latest changes are kept.
_MAX_CHANGES = 200

_REFRESH_SECONDS, _SAMPLE_SECONDS = 0.5, 1.0

_COLORS = {"good": "green", "warn": "yellow", "bad": "red", "": ""}

#: The part of the screen's height that routes may take.
_ROUTES_PART = 4

_NOTHING = "-"


@dataclass(slots=True)
class ScreenState:
    """What the screen shows.

    Attributes:
        title: the namespace.
        routes: the routes by namespace and name.
        changes: the latest changes, with their times.
        warning: the present problem of the connection; empty if there is none.
        clock: returns the time.
        monotonic: returns the seconds of a monotonic clock.
    """

    title: str
    routes: Mapping[tuple[str, str], Route]
    changes: deque[tuple[datetime, LinkChange]] = field(default_factory=lambda: deque(maxlen=_MAX_CHANGES))
    warning: str = ""
    clock: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    trends: Trends = field(default_factory=Trends, init=False)
    rates: Rates = field(init=False)

    def __post_init__(self) -> None:
        self.rates = Rates(self.monotonic())

    def record(self, change: LinkChange) -> None:
        """Record a change."""
        self.changes.append((self.clock(), change))
        self.rates.record(_kind_of(change), self.monotonic())
        self.warning = ""  # the connection works

    def sample(self) -> None:
        """Record the present load of each pod, or its links if it reports no load."""
        self.trends.record({each.key: each.links if each.load is None else each.load for each in self.pods()})

    def header(self) -> list[Text]:
        """Returns the title, the time, the totals and the rates."""
        routes = self.routes.values()
        omitted = sum(route.status.omitted_pods.count for route in routes if route.status.omitted_pods)
        unserved = sum(route.status.unserved_links or 0 for route in routes)
        now = self.monotonic()
        rates = [f"{self.rates.per_second(kind, now):.1f} {kind}/s" for kind in ("bound", "moved", "ended")]
        return [
            Text(self.title, "bold"),
            Text(f"{self.clock():%H:%M:%S}", "dim"),
            Text(pluralize(len(self.routes), "route")),
            Text(pluralize(sum(len(route.status.pods) for route in routes) + omitted, "pod")),
            *([Text(f"{pluralize(omitted, 'pod')} not listed", "dim")] if omitted else []),
            Text(pluralize(sum(route.status.links or 0 for route in routes), "link")),
            *([Text(f"{unserved:,} not served", "red")] if unserved else []),
            *(Text(rate, "cyan") for rate in rates),
            *([Text(self.warning, "red")] if self.warning else []),
        ]

    def pods(self) -> Iterator["PodOfRoute"]:
        """Yields every listed pod, ordered by route and pod."""
        for _, route in sorted(self.routes.items()):
            limit = route.spec.placement.max_links_per_pod
            most_links = limit or max((total_links(pod) for pod in route.status.pods), default=0)
            overload_milli = max(1, route.spec.workload_thresholds.overloaded) * MILLI
            for pod in route.status.pods:
                load = None if pod.weighted_load_milli is None else pod.weighted_load_milli / overload_milli
                yield PodOfRoute(route, pod, load, total_links(pod) / max(1, most_links))


@dataclass(frozen=True, slots=True)
class PodOfRoute:
    """A pod with its route.

    Attributes:
        route: the route.
        pod: the pod.
        load: its load as a part of the overload threshold; None if it is not known.
        links: its links as a part of those that it may have, or of those of the pod with the most.
    """

    route: Route
    pod: PodStatus
    load: float | None
    links: float

    @property
    def key(self) -> str:
        """Its name, with those of the namespace and the route."""
        return f"{self.route.namespace}/{self.route.name}/{self.pod.name}"


class TopApp(App[None]):
    """The application of the screen.

    Args:
        state: what the screen shows; it is drawn twice a second.
        update_state: a coroutine function that keeps the state up to date until it is cancelled.
    """

    BINDINGS: ClassVar[list[BindingType]] = [("q", "quit", "Quit"), ("ctrl+c", "quit", "Quit")]
    CSS = """
        #header, #keys { height: auto; }
        #pods { height: 2fr; scrollbar-size-vertical: 1; overflow-x: hidden; }
        #changes { height: 1fr; }
    """
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, state: ScreenState, update_state: Callable[[], Awaitable[None]] | None = None) -> None:
        super().__init__()
        self._state = state
        self._update_state = update_state
        self._layout: PodLayout | None = None

    def compose(self) -> ComposeResult:
        """Yields the widgets of the screen."""
        yield Static(id="header")
        yield DataTable[Text](id="pods", cursor_type="row", cell_padding=0)
        yield Static(id="changes")
        yield Static(Text("q quits", "dim"), id="keys")

    def on_mount(self) -> None:
        """Start drawing."""
        self._state.sample()
        self.call_after_refresh(self.draw)  # the size is not known before
        self.set_interval(_REFRESH_SECONDS, self.draw)
        self.set_interval(_SAMPLE_SECONDS, self._state.sample)
        if self._update_state is not None:
            self.run_worker(self._update_state(), exit_on_error=True)

    def on_resize(self) -> None:
        """Fit everything to the new size."""
        self.draw()

    def draw(self) -> None:
        """Show the present state."""
        width, height = self.size
        routes = [*self._state.routes.values()]
        now = self._state.clock()
        lines = pack(self._state.header(), width) + route_lines(routes, width, max(1, height // _ROUTES_PART), now)
        self.query_one("#header", Static).update(Text("\n").join(lines))
        self._draw_pods(self.query_one("#pods", DataTable))
        changes = self.query_one("#changes", Static)
        latest = [*self._state.changes][-max(1, changes.size.height) :]
        changes.update(Text("\n").join(change_lines(latest, width, has_routes=len(routes) > 1)))

    def _draw_pods(self, table: DataTable[Text]) -> None:
        pods = [*self._state.pods()]
        now = self._state.clock()
        cells = [_cells(each, now, has_routes=len(self._state.routes) > 1) for each in pods]
        layout = pod_layout(self.size.width, _widths(cells))
        rows = {
            each.key: _row(texts, layout, self._state.trends.of(each.key), {"LOAD": each.load, "LINKS": each.links})
            for each, texts in zip(pods, cells, strict=True)
        }
        if layout != self._layout or [key.value for key in table.rows] != list(rows):
            self._fill(table, layout, rows)
            return
        for key, row in rows.items():
            for column, cell in row.items():
                if table.get_cell(key, column) != cell:
                    table.update_cell(key, column, cell)

    def _fill(self, table: DataTable[Text], layout: PodLayout, rows: Mapping[str, Mapping[str, Text]]) -> None:
        """Replace all columns and rows of the table."""
        self._layout = layout
        cursor = table.cursor_row
        table.clear(columns=True)
        for name, width in _columns(layout).items():
            table.add_column(name, key=name, width=width + layout.gap)
        for key, row in rows.items():
            table.add_row(*row.values(), key=key)
        table.move_cursor(row=cursor)


def _kind_of(change: LinkChange) -> str:
    if change.reason == "RoutingState":
        return "routing"
    if change.before == change.after:
        return "other"
    if change.before == _NOTHING:
        return "bound"
    return "ended" if change.after == _NOTHING else "moved"


def _cells(each: PodOfRoute, now: datetime, *, has_routes: bool) -> dict[str, Text]:
    """Returns the texts of a pod by column, without bars.

    A closing pod has the reason and the remaining time in place of its routing state, a pod that hands its users over
    has that.
    """
    route, pod, load = each.route, each.pod, each.load
    load_color = "dim" if load is None or pod.load_stale else _COLORS[load_style(load)]
    load_text = EMPTY if pod.weighted_load_milli is None else format_milli(pod.weighted_load_milli)
    is_best = route.status.best_pod_name == pod.name
    is_limited = bool(route.spec.placement.max_links_per_pod)
    closing = closing_status(pod)
    routing = HANDING_OVER if pod.handing_over else closing.short_label(now) if closing else pod.routing_state
    routing_style = state_color(HANDING_OVER if pod.handing_over else pod.routing_state)
    return {
        **({"ROUTE": Text(route.name)} if has_routes else {}),
        "POD": Text(pod.name, "bold" if is_best else ""),
        "STATE": Text(pod.service_state, state_color(pod.service_state)),
        "ROUTING": Text(routing, routing_style),
        "LOAD": Text(load_text, load_color),
        "LINKS": Text(
            links_label(pod.links, total_links(pod)), _COLORS[load_style(each.links)] if is_limited else "cyan"
        ),
    }


def _widths(rows: Iterable[Mapping[str, Text]]) -> dict[str, int]:
    """Returns the width of the widest text of each column."""
    widths = dict.fromkeys(("POD", "STATE", "ROUTING", "LOAD", "LINKS"), 0)
    for row in rows:
        if "ROUTE" in row and "ROUTE" not in widths:
            widths = {"ROUTE": 0, **widths}
        for name, text in row.items():
            widths[name] = max(widths[name], text.cell_len)
    return widths


def _columns(layout: PodLayout) -> dict[str, int]:
    """Returns the width of each column with its bar; the trend follows the load."""
    columns = {}
    for name, width in layout.widths.items():
        has_bar = layout.bar and name in {"LOAD", "LINKS"}
        columns[name] = width + (layout.bar + 1 if has_bar else 0)
        if name == "LOAD" and layout.trend:
            columns["TREND"] = layout.trend
    return columns


def _row(
    cells: Mapping[str, Text],
    layout: PodLayout,
    trend: Sequence[float | None],
    fractions: Mapping[str, float | None],
) -> dict[str, Text]:
    """Returns the cells of a pod in the columns of a layout."""
    shown = dict(cells)
    if not layout.is_wide:
        is_ready = cells["STATE"].plain == "Ready"
        shown["STATE"] = cells["ROUTING"] if is_ready else cells["STATE"]
    row = {}
    for name in _columns(layout):
        if name == "TREND":
            style = "cyan" if fractions["LOAD"] is None else cells["LOAD"].style
            row[name] = Text(sparkline(trend, layout.trend), style)
            continue
        cell = shown[name].copy()
        cell.truncate(layout.widths[name], overflow="ellipsis", pad=True)
        if name in fractions and layout.bar:
            cell = Text.assemble(cell, " ", (bar(fractions[name] or 0.0, layout.bar), cell.style))
        row[name] = cell
    return row
