"""Ctrl-C and its kin: they end the demo wherever it is, but not in the midst of a print."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Turns signals into KeyboardInterrupt, at moments at which that does no harm.

    Rich gathers what is printed and writes it at the end of a print. One that is broken off in its first or last
    step leaves it gathering: everything after it would be lost.
    """

    def __init__(self) -> None:
        self._deferrals = 0
        self._is_pending = False

    def install(self) -> None:
        """From now on a signal raises KeyboardInterrupt in the main thread."""
        for number in _NUMBERS:
            signal.signal(number, self._handle)

    @staticmethod
    def ignore() -> None:
        """From now on no signal interrupts anything."""
        for number in _NUMBERS:
            signal.signal(number, signal.SIG_IGN)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Hold a signal back until the end of the context; only for the main thread."""
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
