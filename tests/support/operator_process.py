"""The operator as it is installed: a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from support.waiting import eventually

#: The command that the package installs, beside the interpreter that runs the tests.
PROGRAM = Path(sys.executable).with_name("statefulroute")

START_SECONDS = 60.0
STOP_SECONDS = 30.0

_SERVING_EVENT = "the caches are synced"
_SHOWN_LINES = 80


class OperatorProcess:
    """`statefulroute operator`, with a log that it keeps over its restarts.

    Args:
        kubeconfig: The cluster, and as whom it works there.
        log_file: Where its standard error goes.
        options: More options of the command.
    """

    def __init__(self, kubeconfig: Path, log_file: Path, *options: str) -> None:
        # Alone by default: who comes after one that was killed would wait until the Lease's time is over.
        fixed = ["--log-format", "json", "--no-leader-elect"]
        self._command = [PROGRAM, "operator", "--kubeconfig", kubeconfig, *fixed, *options]
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0
        """How long the log was when the process that runs now began."""

    @property
    def pid(self) -> int:
        """The id of its process."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def log_text(self) -> str:
        """All that it has written, in all its lives."""
        return self._log_file.read_text() if self._log_file.exists() else ""

    @property
    def current_log_text(self) -> str:
        """All that it has written since it was started last."""
        return self.log_text[self._started_at :]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The lines of its log as values; a line that is no JSON, like a traceback's, is `{"event": line}`."""
        return [_parse(line) for line in self.log_text.splitlines()]

    @property
    def last_lines(self) -> str:
        """The end of its log, for the report of a test that has failed."""
        return "\n".join(self.log_text.splitlines()[-_SHOWN_LINES:])

    def errors(self) -> list[dict[str, Any]]:
        """What it has logged as an error, or as a line that is no log line at all."""
        return [line for line in self.lines if line.get("level", "error") in {"error", "critical"}]

    def launch(self, environment: Mapping[str, str] | None = None, prefix: Sequence[str] = ()) -> Self:
        """Start it, and do not wait for anything.

        Args:
            environment: what is in its environment besides.
            prefix: a command that starts it, with the arguments that come before it.
        """
        if self.is_running:
            raise AssertionError("it runs already")
        self._started_at = len(self.log_text)
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*prefix, *self._command],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
            )
        return self

    def start(self) -> Self:
        """Start it, and wait until it serves."""
        self.launch()
        self.await_serving()
        return self

    def await_serving(self) -> None:
        """Wait until it serves: its caches are synced."""
        eventually(self._is_serving, "the operator serves", seconds=START_SECONDS)

    def stop(self) -> None:
        """Ask it to end, as a kubelet does, and hold it to ending well."""
        code = self.terminate()
        assert code == 0, f"the operator ended with {code}:\n{self.last_lines}"

    def terminate(self) -> int:
        """Ask it to end, and give its exit code."""
        process = self._running()
        process.terminate()
        return process.wait(STOP_SECONDS)

    def wait(self) -> int:
        """Wait for it to end by itself, and give its exit code."""
        return self._running().wait(START_SECONDS)

    def kill(self) -> None:
        """End it in a way that it cannot notice."""
        process = self._running()
        process.send_signal(signal.SIGKILL)
        process.wait(STOP_SECONDS)

    def freeze(self) -> None:
        """Keep it from running, in a way that it cannot notice, until it is thawed or killed.

        It is caught while it waits, and not in the middle of handing a request to the system: that it would still do.
        """
        process = self._running()
        while _is_runnable(process.pid):
            pass
        process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it run on."""
        self._running().send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop it, hold it to ending well, and start it again."""
        self.stop()
        self.start()

    def _is_serving(self) -> bool:
        assert self.is_running, f"the operator ended at its start:\n{self.last_lines}"
        return _SERVING_EVENT in self.current_log_text

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it was never started"
        return self._process


class OperatorSlot:
    """The one place for an operator: it serves the whole cluster, so that two would do each other's work."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self._kubeconfig = kubeconfig
        self._folder = folder
        self._is_occupied = 0
        self.operator: OperatorProcess | None = None
        """The operator that sits there now, or that did last."""

    @property
    def is_occupied(self) -> bool:
        """Whether an operator runs now."""
        return self.operator is not None and self.operator.is_running

    @contextmanager
    def acquire(self, kubeconfig: Path | None = None, *options: str) -> Iterator[OperatorProcess]:
        """An operator that is not started yet; if it runs at the end, it is killed.

        Args:
            kubeconfig: As whom it works; the cluster's administrator unless given.
            options: More options of the command.
        """
        assert not self.is_occupied, "an operator runs already: a test that starts its own belongs into another module"
        self._is_occupied += 1
        operator = OperatorProcess(
            kubeconfig or self._kubeconfig, self._folder / f"operator-{self._is_occupied}.log", *options
        )
        self.operator = operator
        try:
            yield operator
        finally:
            if operator.is_running:
                operator.kill()


def _is_runnable(pid: int) -> bool:
    """Whether a process runs, or could: Linux says so in the field after its name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"


def _parse(line: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError:
        return {"event": line}
