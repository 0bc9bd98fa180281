"""Runs the installed operator as a process."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self

from support.fork_server import IS_SUPPORTED, ForkedProcess, shared_fork_server
from support.waiting import eventually

#: The installed command, beside the interpreter that runs the tests.
PROGRAM = _INSTALLED = Path(sys.executable).with_name("statefulroute")

#: Hides the machine's certificate authorities, which a process of the product loads twice at its start and never uses:
#: it trusts those of the kubeconfig.
NO_AUTHORITIES = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}

START_SECONDS = 60.0
STOP_SECONDS = 30.0

_SERVING_EVENT = "the caches are synced"
_SHOWN_LINES = 80


def start_process(
    arguments: Sequence[str], environment: Mapping[str, str], log: BinaryIO
) -> subprocess.Popen[bytes] | ForkedProcess:
    """Starts `statefulroute` with these arguments and environment variables, and with a file for its output."""
    if IS_SUPPORTED:
        return shared_fork_server().start(arguments, environment, log.fileno())
    return subprocess.Popen(
        [_INSTALLED, *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=dict(environment)
    )


class OperatorProcess:
    """A process `statefulroute operator` whose log is kept across restarts.

    Args:
        kubeconfig: The cluster and the credentials.
        log_file: The file of its standard error.
        options: Additional options of the command.
    """

    def __init__(self, kubeconfig: Path, log_file: Path, *options: str) -> None:
        # Without leader election by default: the successor of a killed operator would wait until the Lease expires.
        fixed = ["--log-format", "json", "--no-leader-elect"]
        self._command = [PROGRAM, "operator", "--kubeconfig", kubeconfig, *fixed, *options]
        self._log_file = log_file
        self._environment: dict[str, str] = {}
        """The environment variables that configure it."""
        self._process: subprocess.Popen[bytes] | ForkedProcess | None = None
        self._started_at = 0
        """The length of the log when the present process started."""

    @property
    def pid(self) -> int:
        """The process id."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def log_text(self) -> str:
        """Everything that it wrote, in all its runs."""
        return self._log_file.read_text() if self._log_file.exists() else ""

    @property
    def current_log_text(self) -> str:
        """Everything that it wrote since its last start."""
        return self.log_text[self._started_at :]

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The lines of its log as values; a line that is not JSON, like a traceback's, is `{"event": line}`."""
        return [_parse(line) for line in self.log_text.splitlines()]

    @property
    def last_lines(self) -> str:
        """Returns the last lines of its log, for the report of a failed test."""
        return "\n".join(self.log_text.splitlines()[-_SHOWN_LINES:])

    def errors(self) -> list[dict[str, Any]]:
        """Returns the errors of its log, and the lines that are not log lines."""
        return [line for line in self.lines if line.get("level", "error") in {"error", "critical"}]

    def launch(self, environment: Mapping[str, str] | None = None, prefix: Sequence[str] = ()) -> Self:
        """Starts the process without waiting.

        Args:
            environment: Additional environment variables, also those that act on a new interpreter.
            prefix: A command with its arguments that runs the process.
        """
        if self.is_running:
            raise AssertionError("it runs already")
        self._started_at = len(self.log_text)
        variables = {**os.environ, **NO_AUTHORITIES, **self._environment, **(environment or {})}
        with self._log_file.open("ab") as log:
            if prefix or environment or self._command[0] != _INSTALLED:
                self._process = subprocess.Popen(
                    [*prefix, *self._command], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=variables
                )
            else:
                self._process = start_process([str(each) for each in self._command[1:]], variables, log)
        return self

    def start(self) -> Self:
        """Starts the process and waits until it serves; kills it if it does not."""
        self.launch()
        try:
            self.await_serving()
        except BaseException:
            if self.is_running:
                self.kill()
            raise
        return self

    def await_serving(self) -> None:
        """Waits until it serves: its caches are synced."""
        eventually(self._is_serving, "the operator serves", seconds=START_SECONDS)

    def stop(self) -> None:
        """Sends SIGTERM, as a kubelet does, and checks that it exits cleanly."""
        code = self.terminate()
        assert code == 0, f"the operator ended with {code}:\n{self.last_lines}"

    def terminate(self) -> int:
        """Sends SIGTERM and returns the exit code."""
        process = self._running()
        process.terminate()
        return process.wait(STOP_SECONDS)

    def wait(self) -> int:
        """Waits until it exits without a signal, and returns the exit code."""
        return self._running().wait(START_SECONDS)

    def kill(self) -> None:
        """Kills the process."""
        process = self._running()
        process.send_signal(signal.SIGKILL)
        process.wait(STOP_SECONDS)

    def freeze(self) -> None:
        """Suspends the process until it is resumed or killed.

        It is suspended while it waits, not while it sends a request: the kernel would still send that request.
        """
        process = self._running()
        while _is_runnable(process.pid):
            pass
        process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resumes the process."""
        self._running().send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stops the process, checks that it exits cleanly, and starts it again."""
        self.stop()
        self.start()

    def _is_serving(self) -> bool:
        assert self.is_running, f"the operator ended at its start:\n{self.last_lines}"
        return _SERVING_EVENT in self.current_log_text

    def _running(self) -> subprocess.Popen[bytes] | ForkedProcess:
        assert self._process is not None, "it was never started"
        return self._process


class OperatorSlot:
    """Holds the only running operator: an operator serves the whole cluster, so two would do each other's work."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self._kubeconfig = kubeconfig
        self._folder = folder
        self._number = 0
        self._shared: OperatorProcess | None = None
        """The operator of the modules that share one; it keeps running between them."""
        self._is_acquired = False
        self.operator: OperatorProcess | None = None
        """The present operator, or the last one."""

    @property
    def is_occupied(self) -> bool:
        """Whether an operator runs."""
        return self.operator is not None and self.operator.is_running

    @contextmanager
    def share(self) -> Iterator[OperatorProcess]:
        """Yields a running operator with default options, and checks that it logs no errors.

        It keeps running for the next module that shares it; `stop_idle` and `acquire` stop it.
        """
        with self._acquired():
            if self._shared is None:
                self._shared = self._create().start()
            process = self.operator = self._shared
            yield process
            if not process.is_running or process.errors():
                self._stop_shared()

    @contextmanager
    def acquire(self, kubeconfig: Path | None = None, *options: str) -> Iterator[OperatorProcess]:
        """Yields an operator that is not started; kills it at the end if it runs.

        Args:
            kubeconfig: The credentials; by default the cluster administrator's.
            options: Additional options of the command.
        """
        with self._acquired():
            self._stop_shared()
            operator = self.operator = self._create(kubeconfig, *options)
            try:
                yield operator
            finally:
                if operator.is_running:
                    operator.kill()

    def stop_idle(self) -> None:
        """Stops the operator that modules share, unless one of them is using it, and checks that it exits cleanly."""
        if not self._is_acquired:
            self._stop_shared()

    def _stop_shared(self) -> None:
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.stop()
            assert shared.errors() == []

    @contextmanager
    def _acquired(self) -> Iterator[None]:
        assert not self._is_acquired, "an operator runs already: a test that starts its own belongs into another module"
        self._is_acquired = True
        try:
            yield
        finally:
            self._is_acquired = False

    def _create(self, kubeconfig: Path | None = None, *options: str) -> OperatorProcess:
        self._number += 1
        return OperatorProcess(kubeconfig or self._kubeconfig, self._folder / f"operator-{self._number}.log", *options)


def _is_runnable(pid: int) -> bool:
    """Returns whether a process runs or is runnable, from Linux' field after the process name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"


def _parse(line: str) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except ValueError:
        return {"event": line}
