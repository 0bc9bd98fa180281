"""The output of the demo: a terminal with a live panel, or plain lines elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.status import Status
from rich.text import Text

from demo.interruption import Interruption
from demo.panel import Marks, marks_for, panel, plain_lines
from demo.snapshot import Snapshot
from localcluster.progress import PlainProgress, Progress

_STARTING = "Starting etcd, the API server, its controllers, the scheduler and the nodes"
_PHASE_STYLES = {"Bound": "green", "Pending": "yellow", "Lost": "red", "Rejected": "red"}


class Screen:
    """Prints lines and, on a terminal, keeps the route's panel below them.

    Args:
        console: Where to write. Colours follow the terminal, NO_COLOR and FORCE_COLOR as in rich.
        interruption: Defers signals while something is printed.
    """

    def __init__(self, console: Console, interruption: Interruption) -> None:
        self._console = console
        self._interruption = interruption
        self._is_live = console.is_terminal and not console.is_dumb_terminal
        self._live: Live | None = None
        self._shown: list[str] = []
        self.marks: Marks = marks_for(console)

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """Reports the progress of the control plane's start."""
        if self._is_live:
            with _spinner(self._console) as progress:
                yield progress
        else:
            yield PlainProgress(self.info)

    def step(self, message: str) -> None:
        """Starts a new section."""
        self._print(Text())
        self._print(Text.assemble((f"{self.marks.step} ", "bold cyan"), (message, "bold")))

    def command(self, line: str) -> None:
        """Shows a command."""
        self._print(Text.assemble(("  $ ", "dim"), (line, "bold blue")))

    def output(self, line: str, style: str = "") -> None:
        """Shows a line of a command's output."""
        self._print(Text(f"  {line}", style))

    def info(self, message: str) -> None:
        """Shows a remark."""
        self._print(Text(f"  {message}", "dim"))

    def success(self, message: str) -> None:
        """Shows that something is as expected."""
        self._print(Text.assemble((f"  {self.marks.good} ", "bold green"), message))

    def failure(self, message: str) -> None:
        """Shows that something is not as expected."""
        self._print(Text.assemble((f"{self.marks.bad} ", "bold red"), message))

    def watch_line(self, line: str) -> None:
        """Shows a line of the watch on the links."""
        text = Text.assemble((f"  {self.marks.watch} ", "magenta"), line)
        for phase, style in _PHASE_STYLES.items():
            text.highlight_regex(rf"\b{phase}\b", style)
        self._print(text)

    def show(self, snapshot: Snapshot) -> None:
        """Updates the panel after a change, or prints the changed lines if there is no terminal."""
        if self._live is not None:
            with self._interruption.deferred():
                self._live.update(self._panel(snapshot), refresh=True)
        elif not self._is_live:
            lines = plain_lines(snapshot)
            for line in lines:
                if line not in self._shown:
                    self.info(line)
            self._shown = lines

    def open_panel(self, snapshot: Snapshot) -> None:
        """Opens the panel and keeps it visible."""
        if self._is_live and self._live is None:
            self._live = Live(self._panel(snapshot), console=self._console, auto_refresh=False)
            with self._interruption.deferred():
                self._live.start(refresh=True)

    def close(self) -> None:
        """Leaves the panel as it is and stops updating it."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _panel(self, snapshot: Snapshot) -> RenderableType:
        return panel(snapshot, self.marks, self._console.width)

    def _print(self, text: Text) -> None:
        with self._interruption.deferred():
            self._console.print(text, soft_wrap=True, highlight=False)


@contextmanager
def _spinner(console: Console) -> Iterator[Progress]:
    """Shows a spinner while the control plane starts; a build before the first start shows its duration in it."""
    with console.status(_STARTING) as status:
        yield _Spinner(console, status)


class _Spinner:
    """Shows the progress of the current step in the spinner."""

    def __init__(self, console: Console, status: Status) -> None:
        self._console = console
        self._status = status

    def info(self, message: str) -> None:
        """Prints the message above the spinner."""
        self._console.print(f"  {message}", style="dim", highlight=False, markup=False)

    def tick(self, what: str, elapsed: float) -> None:
        """Shows the current step and its duration."""
        self._status.update(f"{what} ({elapsed:.0f}s)")

    def done(self) -> None:
        """Shows the start of the control plane again."""
        self._status.update(_STARTING)
