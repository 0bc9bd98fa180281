"""Runs the installed resolver as a process, like the operator's."""

from pathlib import Path
from typing import Self

from support.operator_process import PROGRAM, OperatorProcess
from support.waiting import eventually

#: Options: the system chooses the ports, and the log contains them.
ANY_PORT = ("--http-address", "127.0.0.1:0", "--bind-address", "127.0.0.1:0")

_LOOKUPS, _PICKER, _PROBES = "serving look-ups", "serving gRPC", "serving probes and metrics"
_SECURE_METRICS = "serving metrics over TLS"


class ResolverProcess(OperatorProcess):
    """A process `statefulroute resolver`.

    Args:
        kubeconfig: The cluster and the credentials.
        log_file: The file of its standard error.
        options: Additional options of the command.
    """

    def __init__(self, kubeconfig: Path, log_file: Path, *options: str) -> None:
        super().__init__(kubeconfig, log_file)
        self._command = [PROGRAM, "resolver", "--kubeconfig", kubeconfig, "--log-format", "json", *ANY_PORT, *options]

    def with_options(self, *options: str) -> Self:
        """Adds options before the start, and returns the process."""
        self._command += options
        return self

    @property
    def lookups(self) -> str:
        """HOST:PORT of its look-ups, once it serves them."""
        return self._address(_LOOKUPS)

    @property
    def picker(self) -> str:
        """HOST:PORT of its endpoint picker, once it serves it."""
        return self._address(_PICKER)

    @property
    def probes(self) -> str:
        """HOST:PORT of its probes, once it serves them."""
        return self._address(_PROBES)

    @property
    def secure_metrics(self) -> str:
        """HOST:PORT of its metrics over TLS, once it serves them."""
        return self._address(_SECURE_METRICS)

    def request_stop(self) -> None:
        """Sends SIGTERM without waiting."""
        self._running().terminate()

    def _address(self, event: str) -> str:
        eventually(lambda: any(line["event"] == event for line in self.lines), f"it is {event}")
        lines = [line for line in self.lines if line["event"] == event]
        return str(lines[-1]["addresses"][0])
