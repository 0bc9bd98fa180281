"""How far a command is: a bar on a terminal."""

import sys
import time
from dataclasses import dataclass, field

from statefulroute.cli.output.table import Terminal, bar

_BAR_COLUMNS = 40
_PAUSE_SECONDS = 0.1


def stderr_terminal() -> Terminal:
    """The standard error: what is said there does not mix with what a command gives."""
    return Terminal(stream=sys.stderr, is_terminal=sys.stderr.isatty())


@dataclass(slots=True)
class ProgressBar:
    """A line that is written over again and again; where nobody looks, nothing.

    Attributes:
        terminal: where to.
    """

    terminal: Terminal = field(default_factory=stderr_terminal)
    _shown_at: float = 0.0

    def show(self, fraction: float, text: str, *, force: bool = False) -> None:
        """Show how far it is, at most ten times a second unless it has to be at once.

        Args:
            fraction: from 0 to 1.
            text: the same for people.
            force: not to be left out.
        """
        now = time.monotonic()
        if not self.terminal.is_terminal or (not force and now - self._shown_at < _PAUSE_SECONDS):
            return
        self._shown_at = now
        width = max(0, min(_BAR_COLUMNS, self.terminal.columns - len(text) - 3))
        self.terminal.stream.write(f"\r{bar(fraction, width)}  {text}\x1b[K")
        self.terminal.stream.flush()

    def clear(self) -> None:
        """Make room for another line."""
        if self._shown_at:
            self.terminal.stream.write("\r\x1b[K")
            self.terminal.stream.flush()
            self._shown_at = 0.0
