"""Shows what a command waits for: a bar and the closing pods on a terminal, else a line for each change."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from statefulroute.cli.closing_pods import ClosingPod, describe_occupied
from statefulroute.cli.output.messages import pluralize, print_message, printable
from statefulroute.cli.output.terminal import Terminal
from statefulroute.cluster.clock import Clock, utc_now

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

_MAX_BAR_COLUMNS = 40

#: How many lines of the terminal remain for other output than pods.
_OTHER_LINES = 6

#: The remaining times change while nothing else does.
_REFRESHES_PER_SECOND = 2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a planned disruption is.

    Attributes:
        text: what it has done and will do.
        fraction: the part that is done, from 0 to 1.
        pods: the closing pods that it waits for.
        obstacle: why it does not go on; empty if it does.
        is_done: whether there is nothing left to do.
        is_certain: whether the objects were read that show this; if not, they are to be read again soon.
    """

    text: str
    fraction: float = 0.0
    pods: Sequence[ClosingPod] = ()
    obstacle: str = ""
    is_done: bool = False
    is_certain: bool = True

    def line(self, now: datetime) -> str:
        """Returns it as one line: `game: 5 pods, 4 desired; waits for the users of game-4 (12 links, 34m left)`."""
        users = describe_occupied(self.pods, now)
        parts = (self.text, f"waits for the users of {users}" if users else "", self.obstacle)
        return "; ".join(part for part in parts if part)


@dataclass(slots=True)
class WaitDisplay:
    """Shows the progress of a planned disruption until it is closed.

    Attributes:
        terminal: where to show it.
        clock: returns the time.
    """

    terminal: Terminal = field(default_factory=Terminal)
    clock: Clock = utc_now
    _shown: Progress | None = None
    _live: "Live | None" = None

    def show(self, progress: Progress) -> None:
        """Show the progress, if it has changed."""
        if progress == self._shown:
            return
        self._shown = progress
        if not self.terminal.is_terminal or os.environ.get("TERM") == "dumb":
            print_message(progress.line(self.clock()))
            self.terminal.stream.flush()
        elif self._live is None:
            self._live = self._start()
        else:
            self._live.refresh()

    def close(self) -> None:
        """Remove the bar before another line is printed."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _start(self) -> "Live":
        # Importing rich takes longer than the rest of a command.
        from rich.console import Console  # noqa: PLC0415
        from rich.live import Live  # noqa: PLC0415

        console = Console(file=self.terminal.stream, no_color=not self.terminal.has_colors, highlight=False)
        live = Live(
            console=console,
            get_renderable=lambda: self._screen(console.width, console.height),
            refresh_per_second=_REFRESHES_PER_SECOND,
            transient=True,
        )
        live.start(refresh=True)
        return live

    def _screen(self, width: int, height: int) -> "RenderableType":
        """Returns what a terminal of a size shows."""
        from rich.console import Group  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        progress = self._shown or Progress("")
        percent = f"{progress.fraction:4.0%}"
        lines: list[RenderableType] = [
            Text(printable(progress.text), no_wrap=True, overflow="ellipsis"),
            Text(f"{percent} {self.terminal.bar(progress.fraction, min(width - len(percent) - 1, _MAX_BAR_COLUMNS))}"),
        ]
        occupied = [pod for pod in progress.pods if pod.links]
        if occupied:
            lines.append(self._pods(occupied[: max(1, height - _OTHER_LINES)]))
        if (more := len(occupied) - max(1, height - _OTHER_LINES)) > 0:
            lines.append(Text(f"and {pluralize(more, 'more pod')}", "dim"))
        if progress.obstacle:
            lines.append(Text(printable(progress.obstacle), "yellow"))
        return Group(*lines)

    def _pods(self, pods: Sequence[ClosingPod]) -> "RenderableType":
        from rich.table import Table  # noqa: PLC0415

        table, now = Table.grid(padding=(0, 2)), self.clock()
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True)
        for pod in pods:
            table.add_row(printable(pod.name), pluralize(pod.links, "link"), pod.short_label(now))
        return table
