"""The resolver as it is installed: a process of its own, whose life is as an operator's."""

from pathlib import Path
from typing import Self

from support.operator_process import PROGRAM, OperatorProcess
from support.waiting import eventually

#: As options: the system chooses the ports, and the log tells them.
ANY_PORT = ("--http-address", "127.0.0.1:0", "--bind-address", "127.0.0.1:0")

_LOOKUPS, _PICKER, _PROBES = "answering look-ups", "picking endpoints", "answering probes and Prometheus"


class ResolverProcess(OperatorProcess):
    """`statefulroute resolver`.

    Args:
        kubeconfig: The cluster, and as whom it works there.
        log_file: Where its standard error goes.
        options: More options of the command.
    """

    def __init__(self, kubeconfig: Path, log_file: Path, *options: str) -> None:
        super().__init__(kubeconfig, log_file)
        self._command = [PROGRAM, "resolver", "--kubeconfig", kubeconfig, "--log-format", "json", *ANY_PORT, *options]

    def with_options(self, *options: str) -> Self:
        """The same with more options; it has not been started yet."""
        self._command += options
        return self

    @property
    def lookups(self) -> str:
        """HOST:PORT of its look-ups, once it answers them."""
        return self._address(_LOOKUPS)

    @property
    def picker(self) -> str:
        """HOST:PORT of its endpoint picker, once it picks."""
        return self._address(_PICKER)

    @property
    def probes(self) -> str:
        """HOST:PORT of its probes, once it answers them."""
        return self._address(_PROBES)

    def terminate(self) -> None:
        """Tell it to stop, and do not wait for it."""
        self._running().terminate()

    def _address(self, event: str) -> str:
        eventually(lambda: any(line["event"] == event for line in self.lines), f"it is {event}")
        told = [line for line in self.lines if line["event"] == event]
        return str(told[-1]["addresses"][0])
