"""How a long piece of work tells that it goes on: to a terminal, to a file, or to a program's log."""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from rich.console import Console

if TYPE_CHECKING:
    from rich.status import Status

PLAIN_SECONDS = 30.0

log = logging.getLogger("localcluster")


class Progress(Protocol):
    """Hears what is being done."""

    def info(self, message: str) -> None:
        """Something that is worth a line of its own."""

    def tick(self, what: str, elapsed: float) -> None:
        """`what` still goes on, `elapsed` seconds after its start; called a few times a second."""

    def done(self) -> None:
        """What went on has ended."""


class PlainProgress:
    """Writes a line when something starts, and now and then while it lasts."""

    def __init__(self, write: Callable[[str], None] = log.info) -> None:
        self._write = write
        self._what = ""
        self._written = 0.0

    def info(self, message: str) -> None:
        """Write the sentence."""
        self._write(message)

    def tick(self, what: str, elapsed: float) -> None:
        """Write a line if the work is new, or has been silent for a while."""
        now = time.monotonic()
        if what != self._what or now - self._written >= PLAIN_SECONDS:
            self._write(f"{what} ({elapsed:.0f}s)")
            self._what, self._written = what, now

    def done(self) -> None:
        """Let the next piece of work start with a line."""
        self._what = ""


class TerminalProgress:
    """Shows a spinner with the time that has passed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None

    def info(self, message: str) -> None:
        """Print the sentence above the spinner."""
        self._console.print(message, highlight=False, markup=False)

    def tick(self, what: str, elapsed: float) -> None:
        """Turn the spinner."""
        text = f"{what} ({elapsed:.0f}s)"
        if self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        self._status.update(text)

    def done(self) -> None:
        """Take the spinner away."""
        if self._status is not None:
            self._status.stop()
            self._status = None
