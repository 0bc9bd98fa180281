"""Runs a process on a pseudo-terminal of a given width."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

_LINES = 24
_END_SECONDS = 30.0

#: The variables of an environment that describe a terminal; the test sets them.
_TERMINAL_VARIABLES = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM")


class TerminalSession:
    """A process with a terminal for its input and output; the context kills it at its end.

    Args:
        command: the command line.
        columns: the width of the terminal.
        environment: the environment; its terminal variables are removed.
        more: additional environment variables.
    """

    def __init__(
        self, command: Sequence[str], columns: int, environment: Mapping[str, str], more: Mapping[str, str]
    ) -> None:
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, columns, 0, 0))
        plain = {name: value for name, value in environment.items() if name not in _TERMINAL_VARIABLES}
        self.process = subprocess.Popen(
            command,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env={**plain, "TERM": "xterm-256color", **more},
            start_new_session=True,
        )
        os.close(follower)
        self._screen = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(_END_SECONDS)
        os.close(self._leader)

    @property
    def screen(self) -> str:
        """Everything that was written so far, with control sequences."""
        return self._screen.decode(errors="replace").replace("\r\n", "\n")

    def press(self, keys: str) -> None:
        """Types keys."""
        os.write(self._leader, keys.encode())

    def await_text(self, *texts: str, seconds: float = 30.0) -> None:
        """Waits until each of these texts was written.

        Raises:
            AssertionError: A text was not written in time.
        """
        deadline = time.monotonic() + seconds
        while not all(text in self.screen for text in texts):
            assert self._read(deadline), f"not shown: {texts}; it shows: {self.screen[-2000:]!r}"

    def close(self) -> tuple[int, str]:
        """Waits until the process exits, and returns the exit code and everything that was written."""
        deadline = time.monotonic() + _END_SECONDS
        while self._read(deadline):
            pass
        return self.process.wait(_END_SECONDS), self.screen

    def _read(self, deadline: float) -> bool:
        """Reads output; returns whether more may follow."""
        ready, _, _ = select.select([self._leader], [], [], max(0.0, deadline - time.monotonic()))
        if not ready or time.monotonic() > deadline:
            return False
        try:
            data = os.read(self._leader, 65_536)
        except OSError:  # the process closed the terminal
            return False
        self._screen += data
        return bool(data)
