"""Renders the route's status as a panel: a pure function of a snapshot."""

from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from demo.snapshot import NAMESPACE, ROUTE, Link, Object, Snapshot, ready_condition

_MOST_USERS = 6
_LONGEST_BAR = 24
_WIDEST = 100

_STATE_STYLES = {"Ready": "green", "Pending": "yellow", "NotReady": "yellow", "Terminating": "magenta"}
_ACCEPTS = {
    "Ready": ("all users", "green"),
    "DenyNewCall": ("its own users", "yellow"),
    "Shutdown": ("no users", "red"),
}


@dataclass(frozen=True, slots=True)
class Marks:
    """The symbols of the screen."""

    step: str
    good: str
    bad: str
    watch: str
    bar: str
    dot: str


def marks_for(console: Console) -> Marks:
    """Returns symbols that the console's encoding supports."""
    if console.options.ascii_only:
        return Marks(step=">", good="+", bad="x", watch="|", bar="#", dot="*")
    return Marks(step="▸", good="✓", bad="✗", watch="┊", bar="█", dot="●")


def panel(snapshot: Snapshot, marks: Marks, width: int) -> RenderableType:
    """Renders the route as a headline, its pods as rows, their links as bars, and the waiting links below."""
    parts: list[RenderableType] = [_headline(snapshot, marks)]
    if any(True for _ in snapshot.pods()):
        parts.append(_pod_table(snapshot, marks))
    parts.extend(_waiting_line(link) for link in snapshot.waiting()[:_MOST_USERS])
    title = Text.assemble("StatefulRoute ", (f"{NAMESPACE}/{ROUTE}", "bold"))
    body = Group(*parts)
    # Narrower than the terminal: the ^C that a terminal echoes must not wrap the last line.
    width = min(width - 4, _WIDEST)
    return Panel(body, title=title, title_align="left", border_style="cyan", width=width, padding=(0, 1))


def _headline(snapshot: Snapshot, marks: Marks) -> Text:
    if snapshot.route is None:
        return Text.assemble(
            (f"{marks.dot} ", "red"), ("does not exist", "bold"), ": its links wait, and keep the pods in their spec"
        )
    condition = ready_condition(snapshot.route)
    style = {"True": "green", "False": "red"}.get(condition.status, "yellow")
    message = condition.message or "no status from the operator yet"
    text = Text.assemble((f"{marks.dot} ", style), ("Ready" if condition.status == "True" else "not Ready", style))
    text.append(f"  {message}")
    best_pod = snapshot.route.get("status", {}).get("bestPodIndex")
    if condition.status == "True":
        text.append(
            ", no pod accepts new users"
            if best_pod is None
            else f", the next user goes to {_pod_name(snapshot, best_pod)}"
        )
    return text


def _pod_name(snapshot: Snapshot, index: int) -> str:
    return next((str(pod["name"]) for pod in snapshot.pods() if pod["index"] == index), f"pod {index}")


def _pod_table(snapshot: Snapshot, marks: Marks) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for column in ("POD", "STATE", "ACCEPTS", "LINKS", ""):
        table.add_column(column, no_wrap=column != "")
    for pod in snapshot.pods():
        table.add_row(*_pod_row(pod, snapshot.users_on(str(pod["name"])), marks))
    return table


def _pod_row(pod: Object, users: list[Link], marks: Marks) -> tuple[Text, ...]:
    state, links = str(pod["serviceState"]), len(users)
    accepts, style = _ACCEPTS.get(str(pod["routingState"]), (str(pod["routingState"]), ""))
    bar = Text.assemble(f"{links:>3} ", (marks.bar * min(links, _LONGEST_BAR), "cyan"))
    return (
        Text(str(pod["name"]), "bold"),
        Text(state, _STATE_STYLES.get(state, "red")),
        Text(accepts, style),
        bar,
        _names(users),
    )


def _names(users: list[Link]) -> Text:
    names = [f"{link.uid} (until {_clock(link.expires)})" if link.expires else link.uid for link in users]
    more = len(names) - _MOST_USERS
    return Text(", ".join(names[:_MOST_USERS]) + (f" and {more} more" if more > 0 else ""))


def _clock(time: str) -> str:
    """Returns the time of day of an RFC 3339 time, which the API server writes in UTC."""
    return time[11:19] + "Z"


def _waiting_line(link: Link) -> Text:
    condition = ready_condition(link.item)
    kept = "" if link.requested_pod is None else f", spec.podIndex {link.requested_pod}"
    phase, reason = link.phase or "new", condition.reason or "no status from the operator yet"
    return Text.assemble((link.uid, "bold"), f" is on no pod: {phase}, ", (reason, "yellow"), kept)


def plain_lines(snapshot: Snapshot) -> list[str]:
    """Renders the same as text without a terminal: one line for the route and one for each pod."""
    condition = ready_condition(snapshot.route) if snapshot.route is not None else None
    if snapshot.route is None or condition is None:
        return [f"route {ROUTE}: does not exist"]
    lines = [f"route {ROUTE}: Ready={condition.status} {condition.message}".rstrip()]
    for pod in snapshot.pods():
        users = snapshot.users_on(str(pod["name"]))
        accepts, _ = _ACCEPTS.get(str(pod["routingState"]), (str(pod["routingState"]), ""))
        user_names = f": {_names(users)}" if users else ""
        lines.append(
            f"pod {pod['name']}: {pod['serviceState']}, accepts {accepts}, {_count(len(users), 'link')}{user_names}"
        )
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
