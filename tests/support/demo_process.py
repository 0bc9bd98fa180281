"""Runs the demo and reads its output line by line."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

TIMEOUT_SECONDS = 90.0


def demo(runtime: Path, *arguments: str) -> tuple[list[str], Mapping[str, str]]:
    """Returns the command that starts a demo and its environment: no terminal, and separate from other clusters."""
    environment = {name: value for name, value in os.environ.items() if name not in {"FORCE_COLOR", "COLUMNS"}}
    return [sys.executable, "-m", "demo", *arguments], {
        **environment,
        "XDG_RUNTIME_DIR": str(runtime),
        "PYTHONPATH": str(Path(__file__).parents[2] / "tools"),
        "PYTHONIOENCODING": "utf-8",
    }


class RunningDemo:
    """A demo that runs until it receives a signal."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._pending_lines: queue.Queue[str | None] = queue.Queue()
        self.lines: list[str] = []
        threading.Thread(target=self._read, args=(process.stdout,), daemon=True).start()

    def wait_for(self, what: str) -> str:
        """Waits for the next line that contains this text, and returns it."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (line := self._next(deadline)) is not None:
            self.lines.append(line)
            if what in line:
                return line
        raise AssertionError(f"the demo ended without {what!r}:\n" + "\n".join(self.lines))

    def send(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self._process.send_signal(number)

    def await_exit(self) -> int:
        """Waits until it exits, and returns the exit code."""
        return self._process.wait(TIMEOUT_SECONDS)

    def remaining_lines(self) -> list[str]:
        """Returns the lines that it prints from now to its exit."""
        return list(iter(lambda: self._next(time.monotonic() + TIMEOUT_SECONDS), None))

    def _next(self, deadline: float) -> str | None:
        try:
            return self._pending_lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise AssertionError("the demo is silent:\n" + "\n".join(self.lines)) from None

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._pending_lines.put(line.rstrip("\n"))
        self._pending_lines.put(None)


@contextmanager
def running_demo(runtime: Path) -> Iterator[RunningDemo]:
    """Starts a demo, and stops it at the end of the context if it still runs."""
    command, environment = demo(runtime)
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    ) as process:
        try:
            yield RunningDemo(process)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(TIMEOUT_SECONDS)
