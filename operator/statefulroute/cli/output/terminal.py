"""The terminal that a command prints to: width, colors, bars and a progress bar."""

import os
import shutil
import sys
import time
import unicodedata
from dataclasses import dataclass, field
from typing import TextIO

_BLOCKS = " ▏▎▍▌▋▊▉█"
_STYLES = {"good": "32", "warn": "33", "bad": "31", "dim": "2", "bold": "1"}

_PROGRESS_BAR_COLUMNS = 40
_PROGRESS_PERIOD_SECONDS = 0.1


@dataclass(slots=True)
class Terminal:
    """The stream that a command prints to.

    Attributes:
        stream: the stream.
        columns: its width.
        is_terminal: whether it is a terminal, which shows bars and colors.
    """

    stream: TextIO = field(default_factory=lambda: sys.stdout)
    columns: int = field(default_factory=lambda: shutil.get_terminal_size().columns)
    is_terminal: bool = field(default_factory=lambda: sys.stdout.isatty())  # noqa: PLW0108 - of the present stdout

    @property
    def has_colors(self) -> bool:
        """Whether it shows colors: a terminal does, unless NO_COLOR or TERM=dumb is set."""
        return self.is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def write_line(self, text: str = "") -> None:
        """Write a line."""
        self.write(text + "\n")

    def write(self, text: str) -> None:
        """Write a text; characters that the encoding of the stream lacks are escaped."""
        try:
            self.stream.write(text)
        except UnicodeEncodeError:
            encoding = self.stream.encoding or "ascii"
            self.stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def styled(self, text: str, style: str) -> str:
        """Returns a text in a style (good, warn, bad, dim, bold), if colors are shown."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if style and self.has_colors else text

    def bar(self, fraction: float, width: int) -> str:
        """Returns a bar of characters that the encoding of the stream has."""
        try:
            _BLOCKS.encode(self.stream.encoding or "utf-8")
        except UnicodeEncodeError:
            return ("#" * round(max(0.0, min(fraction, 1.0)) * width)).ljust(width)
        return bar(fraction, width)


def stderr_terminal() -> Terminal:
    """Returns the standard error, which does not mix with the output of a command."""
    return Terminal(stream=sys.stderr, is_terminal=sys.stderr.isatty())


@dataclass(slots=True)
class ProgressBar:
    """A line that is overwritten with the progress of a command; a no-op if the stream is not a terminal.

    Attributes:
        terminal: where to write it.
    """

    terminal: Terminal = field(default_factory=stderr_terminal)
    _shown_at: float = 0.0

    def show(self, fraction: float, text: str, *, force: bool = False) -> None:
        """Show the progress, at most ten times a second unless forced.

        Args:
            fraction: from 0 to 1.
            text: the progress in words, after the bar.
            force: whether to show it although the last update was a moment ago.
        """
        now = time.monotonic()
        if not self.terminal.is_terminal or (not force and now - self._shown_at < _PROGRESS_PERIOD_SECONDS):
            return
        self._shown_at = now
        columns = max(0, min(_PROGRESS_BAR_COLUMNS, self.terminal.columns - len(text) - 3))
        self.terminal.stream.write(f"\r{bar(fraction, columns)}  {text}\x1b[K")
        self.terminal.stream.flush()

    def clear(self) -> None:
        """Remove the bar before another line is printed."""
        if self._shown_at:
            self.terminal.stream.write("\r\x1b[K")
            self.terminal.stream.flush()
            self._shown_at = 0.0


def width(text: str) -> int:
    """Returns how many columns a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in {"W", "F"})
        for character in text
    )


def bar(fraction: float, width: int) -> str:
    """Returns a bar of this many columns, filled up to a fraction from 0 to 1."""
    eighths = round(max(0.0, min(fraction, 1.0)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_BLOCKS[rest] if rest else "")).ljust(width)
