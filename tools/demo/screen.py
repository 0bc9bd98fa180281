"""Where the demo shows itself: a terminal with a live panel, or plain lines for everything else."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from demo.interruption import Interruption
from demo.panel import Marks, marks_for, panel, plain_lines
from demo.progress import spinning
from demo.snapshot import Snapshot
from localcluster.progress import PlainProgress, Progress

_PHASE_STYLES = {"Bound": "green", "Pending": "yellow", "Lost": "red", "Rejected": "red"}


class Screen:
    """Prints the story's lines and, on a terminal, keeps the route's panel below them.

    Args:
        console: Where to write. Colours follow the terminal, NO_COLOR and FORCE_COLOR as rich obeys them.
        interruption: Holds signals back while something is printed.
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
        """Hears how the start of the control plane goes."""
        if self._is_live:
            with spinning(self._console) as progress:
                yield progress
        else:
            yield PlainProgress(self.info)

    def step(self, sentence: str) -> None:
        """A new part of the story begins."""
        self._print(Text())
        self._print(Text.assemble((f"{self.marks.step} ", "bold cyan"), (sentence, "bold")))

    def command(self, line: str) -> None:
        """What is typed."""
        self._print(Text.assemble(("  $ ", "dim"), (line, "bold blue")))

    def output(self, line: str, style: str = "") -> None:
        """A line of what a command printed."""
        self._print(Text(f"  {line}", style))

    def info(self, sentence: str) -> None:
        """Something said beside the story."""
        self._print(Text(f"  {sentence}", "dim"))

    def success(self, sentence: str) -> None:
        """Something is as it should be."""
        self._print(Text.assemble((f"  {self.marks.good} ", "bold green"), sentence))

    def failure(self, sentence: str) -> None:
        """Something is not as it should be."""
        self._print(Text.assemble((f"{self.marks.bad} ", "bold red"), sentence))

    def watch_line(self, line: str) -> None:
        """A line of the watch on the links."""
        text = Text.assemble((f"  {self.marks.watch} ", "magenta"), line)
        for phase, style in _PHASE_STYLES.items():
            text.highlight_regex(rf"\b{phase}\b", style)
        self._print(text)

    def show(self, snapshot: Snapshot) -> None:
        """The route or a link has changed: renew the panel, or without a terminal say what is new."""
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
        """From now on keep the panel in sight."""
        if self._is_live and self._live is None:
            self._live = Live(self._panel(snapshot), console=self._console, auto_refresh=False)
            with self._interruption.deferred():
                self._live.start(refresh=True)

    def close(self) -> None:
        """Leave the panel as it is and end."""
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
