"""What the screen of `top` shows at a width: the lines of its header and of changes, and the columns of pods."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.text import Text

from statefulroute.api.route_status import PodStatus
from statefulroute.api.vocabulary import ConditionType, RoutingState
from statefulroute.cli.closing_pods import ClosingPod, summary
from statefulroute.cli.link_changes import LinkChange
from statefulroute.cli.output.loads import HANDING_OVER
from statefulroute.cli.output.messages import pluralize, printable
from statefulroute.cli.output.table import EMPTY
from statefulroute.domain.route import Route
from statefulroute.domain.service import total_links

#: From this width on, a screen is wide: pods have all their columns, and changes their reasons.
_WIDE = 60

_GAP = "  "

_COLORS = {
    "Ready": "green",
    "DenyNewCall": "yellow",
    HANDING_OVER: "yellow",
    "NotReady": "yellow",
    "Pending": "yellow",
    "Terminating": "yellow",
}

_MIN_TREND, _MAX_TREND = 4, 30
_MIN_BAR, _MAX_BAR = 4, 20

#: Beyond these widths, the subject and the other texts of a change are cut if they do not fit.
_MIN_SUBJECT, _MIN_CHANGE_COLUMN = 12, 8

#: The column of a scroll bar.
_SCROLL_BAR = 1


def state_color(state: str) -> str:
    """Returns the color of a state of a pod or of a route."""
    return _COLORS.get(state, "red")


def pack(segments: Iterable[Text], width: int) -> list[Text]:
    """Returns segments in as few lines as they fit in; a segment that is too wide is cut."""
    lines: list[Text] = []
    for segment in segments:
        cut = segment.copy()
        cut.truncate(width, overflow="ellipsis")
        if lines and lines[-1].cell_len + len(_GAP) + cut.cell_len <= width:
            lines[-1] = Text.assemble(lines[-1], _GAP, cut)
        else:
            lines.append(cut)
    return lines


def route_lines(routes: Sequence[Route], width: int, count: int, now: datetime) -> list[Text]:
    """Returns a line for each route, and one for its closing pods; the last line counts the routes that do not fit.

    Routes that are not Ready come first, then those with closing pods.
    """
    ordered = sorted(routes, key=lambda route: (*_route_rank(route), route.namespace, route.name))
    lines, shown = list[Text](), 0
    for route in ordered:
        room = count - len(lines) - (shown + 1 < len(ordered))
        if room < 1:
            break
        lines += _route_block(route, width, now)[:room]
        shown += 1
    rest = len(ordered) - shown
    return [*lines, Text(f"and {pluralize(rest, 'more route')}", "dim")] if rest else lines


def _route_rank(route: Route) -> tuple[bool, bool]:
    return _route_state(route) == RoutingState.READY, not any(pod.closing for pod in route.status.pods)


def _route_block(route: Route, width: int, now: datetime) -> list[Text]:
    """Returns the lines of a route: the second one is only there while pods are closing."""
    line = pack(_route_segments(route), width)[0]
    pods = [closing for pod in route.status.pods if (closing := closing_status(pod))]
    if not pods:
        return [line]
    second = Text(f"{_GAP}{'closing: ' if width >= _WIDE else ''}{summary(pods, now)}", "yellow")
    second.truncate(width, overflow="ellipsis")
    return [line, second]


def closing_status(pod: PodStatus) -> ClosingPod | None:
    """Returns how a pod closes; None if it does not."""
    if pod.closing is None:
        return None
    return ClosingPod(
        pod.name, pod.closing.reason, total_links(pod), pod.closing.deadline, is_handing_over=bool(pod.handing_over)
    )


def _route_state(route: Route) -> str:
    """Returns the routing state of a route, or the reason why it is not ready."""
    if not route.status.conditions:
        return "Unknown"
    ready = next((each for each in route.status.conditions if each.type == ConditionType.READY), None)
    if ready is not None and ready.status == "False":
        return ready.reason
    return route.spec.routing_state


def _route_segments(route: Route) -> list[Text]:
    status = route.status
    state = _route_state(route)
    unserved = status.unserved_links or 0
    return [
        Text(route.name, "bold"),
        Text(state, state_color(state)),
        Text(f"{_number(status.routable_pods)}/{_number(status.replicas)} pods"),
        Text(pluralize(status.links or 0, "link")),
        *([Text(f"{unserved:,} not served", "red")] if unserved else []),
        *([Text(f"load {status.workload_load} {status.workload_state}")] if status.workload_load is not None else []),
        *([Text(f"next {status.best_pod_name}", "dim")] if status.best_pod_name else []),
    ]


def _number(value: int | None) -> str:
    return EMPTY if value is None else f"{value:,}"


def change_lines(changes: Sequence[tuple[datetime, LinkChange]], width: int, *, has_routes: bool) -> list[Text]:
    """Returns a line for each change, in aligned columns that fit the width.

    Args:
        changes: the changes with their times.
        width: the width.
        has_routes: whether the changes are of several routes.
    """
    if not changes:
        return []
    rows = [_change_cells(time, change, is_wide=width >= _WIDE, has_routes=has_routes) for time, change in changes]
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    subject = len(widths) - (3 if width >= _WIDE else 2)
    for index in (subject, *reversed(range(1, len(widths)))):  # the subject is cut first, and again if need be
        minimum = _MIN_SUBJECT if index == subject and widths[index] > _MIN_SUBJECT else _MIN_CHANGE_COLUMN
        cut = max(0, min(excess, widths[index] - minimum))
        widths[index] -= cut
        excess -= cut
    for row in rows:
        for cell, column in zip(row, widths, strict=True):
            cell.truncate(column, overflow="ellipsis", pad=True)
    return [Text(_GAP).join(row) for row in rows]


def _change_cells(time: datetime, change: LinkChange, *, is_wide: bool, has_routes: bool) -> list[Text]:
    return [
        Text(time.strftime("%H:%M:%S"), "dim"),
        *([Text(change.route)] if has_routes and is_wide else []),
        Text(printable(change.subject), "bold"),
        Text(f"{change.before} -> {change.after}"),
        *([Text(change.reason_label, "dim")] if is_wide else []),
    ]


@dataclass(frozen=True, slots=True)
class PodLayout:
    """The columns of pods.

    Attributes:
        widths: the width of the text of each column, by its name, in their order.
        trend: the width of the sparkline; 0 if there is none.
        bar: the width of the bar of the load, and of that of the links; 0 if there are none.
        gap: the number of spaces between columns.
    """

    widths: Mapping[str, int]
    trend: int
    bar: int
    gap: int

    @property
    def is_wide(self) -> bool:
        """Whether the states of a pod have two columns."""
        return "ROUTING" in self.widths


def pod_layout(width: int, widths: Mapping[str, int]) -> PodLayout:
    """Returns the columns that fit a width.

    Args:
        width: the width.
        widths: the width of the text of each column, in their order. `STATE` can stand for `ROUTING`, too.
    """
    columns = {name: max(len(name), text) for name, text in widths.items()}
    gap = len(_GAP)
    free = width - _SCROLL_BAR - sum(columns.values()) - gap * len(columns)
    if width >= _WIDE and free >= _MIN_TREND:
        trend = min(max(_MIN_TREND, free // 3), _MAX_TREND)
        bar = min((free - trend) // 2 - 1, _MAX_BAR)
        return PodLayout(columns, trend, bar if bar >= _MIN_BAR else 0, gap)
    columns["STATE"] = max(columns["STATE"], columns.pop("ROUTING"))
    free = width - _SCROLL_BAR - sum(columns.values()) - len(columns)
    if free < 0 and "ROUTE" in columns:
        free += columns.pop("ROUTE") + 1
    if free < 0:
        columns["POD"] = max(len("POD"), columns["POD"] + free)
    return PodLayout(columns, min(free, _MAX_TREND) if free >= _MIN_TREND else 0, 0, gap=1)
