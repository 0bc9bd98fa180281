"""Handles Ctrl-C and similar signals: they stop the demo at any point, but not in the middle of a print."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Turns signals into KeyboardInterrupt at safe moments.

    Rich buffers what is printed and writes it at the end of a print. An interrupt in the first or last step of a print
    leaves it buffering, and later output is lost.
    """

    def __init__(self) -> None:
        self._deferrals = 0
        self._is_pending = False

    def install(self) -> None:
        """Makes signals raise KeyboardInterrupt in the main thread."""
        for number in _NUMBERS:
            signal.signal(number, self._handle)

    @staticmethod
    def ignore() -> None:
        """Makes all signals ineffective."""
        for number in _NUMBERS:
            signal.signal(number, signal.SIG_IGN)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Defers a signal until the end of the context; only for the main thread."""
        self._deferrals += 1
        try:
            yield
        finally:
            self._deferrals -= 1
            if self._is_pending and not self._deferrals:
                self._is_pending = False
                raise KeyboardInterrupt

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._deferrals:
            self._is_pending = True
        else:
            raise KeyboardInterrupt
