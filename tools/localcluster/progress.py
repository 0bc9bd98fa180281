"""Reports the progress of long work: to a terminal, to a file, or to a program's log."""

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
    """Receives reports of progress."""

    def info(self, message: str) -> None:
        """Reports a message."""

    def tick(self, what: str, elapsed: float) -> None:
        """Reports that `what` is in progress, `elapsed` seconds after its start; called a few times per second."""

    def done(self) -> None:
        """Reports that the work in progress has finished."""


class PlainProgress:
    """Writes a line when work starts, and sometimes while it lasts."""

    def __init__(self, write: Callable[[str], None] = log.info) -> None:
        self._write = write
        self._what = ""
        self._written = 0.0

    def info(self, message: str) -> None:
        """Writes the message."""
        self._write(message)

    def tick(self, what: str, elapsed: float) -> None:
        """Writes a line if the work is new, or if the last line is old."""
        now = time.monotonic()
        if what != self._what or now - self._written >= PLAIN_SECONDS:
            self._write(f"{what} ({elapsed:.0f}s)")
            self._what, self._written = what, now

    def done(self) -> None:
        """Makes the next piece of work start with a line."""
        self._what = ""


class TerminalProgress:
    """Shows a spinner with the elapsed time."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None

    def info(self, message: str) -> None:
        """Prints the message above the spinner."""
        self._console.print(message, highlight=False, markup=False)

    def tick(self, what: str, elapsed: float) -> None:
        """Updates the spinner."""
        text = f"{what} ({elapsed:.0f}s)"
        if self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        self._status.update(text)

    def done(self) -> None:
        """Removes the spinner."""
        if self._status is not None:
            self._status.stop()
            self._status = None
