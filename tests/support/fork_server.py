"""Starts processes of the product as copies of one that has imported it: a start takes a tenth of the CPU.

The copies run the installed command as a new process would, with their own environment and output. They are for tests
that need many operators, not for those of how a process starts. Servers of an example, which use the driver, can be
started in the same way.
"""

import atexit
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from array import array
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NoReturn

#: Whether this system has what the server needs; others start a process with an interpreter of its own.
IS_SUPPORTED = sys.platform == "linux"

#: What the commands import when they run.
_MODULES = (
    "statefulroute.cli.app",
    "statefulroute.cli.commands.operator",
    "statefulroute.cli.commands.resolver",
    "statefulroute.cli.commands.sidecar",
    "statefulroute.cli.process",
    "statefulroute.controllers.operator",
    "statefulroute.driver.environment",
    "statefulroute.driver.server",
    "statefulroute.resolver.process",
    "statefulroute.resolver.grpc.server",
    "statefulroute.sidecar.process",
    "uvloop",
)


class ForkedProcess:
    """A process that the server has started, with the interface of `subprocess.Popen` that the tests use.

    Args:
        results: The file descriptor from which its pid and its exit code can be read.
    """

    def __init__(self, results: int) -> None:
        self._results = os.fdopen(results, "rb", buffering=0)
        self.pid = int(self._results.readline())
        self.returncode: int | None = None

    def __del__(self) -> None:
        self._results.close()

    def poll(self) -> int | None:
        """Returns the exit code, negative for a signal; None while it runs."""
        return self._read_code(0)

    def wait(self, timeout: float | None = None) -> int:
        """Waits until it exits, and returns the exit code.

        Raises:
            subprocess.TimeoutExpired: It runs longer.
        """
        code = self._read_code(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has exited."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _read_code(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._results], [], [], seconds)[0]:
            self.returncode = int(self._results.readline())
            self._results.close()
        return self.returncode


class ForkServer:
    """The process of which the others are copies. It ends with the process that has started it. Thread-safe."""

    def __init__(self) -> None:
        self._socket, server = socket.socketpair()
        # With -P, the folder of this file is not searched for modules.
        command = [sys.executable, "-P", str(Path(__file__)), str(server.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[server.fileno()], stdin=subprocess.DEVNULL)
        server.close()
        atexit.register(self._stop)
        self._lock = threading.Lock()

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], output: int, program: Path | None = None
    ) -> ForkedProcess:
        """Starts `statefulroute` with these arguments and this environment.

        Args:
            arguments: The arguments of the command.
            environment: All its environment variables.
            output: The file descriptor of its standard output and standard error.
            program: A Python file to run in place of `statefulroute`.
        """
        results, reported = os.pipe()
        try:
            file = None if program is None else str(program)
            message = json.dumps([file, list(arguments), dict(environment)]).encode()
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [output, reported]))
            with self._lock:
                self._socket.sendmsg([len(message).to_bytes(4, "big")], [rights])
                self._socket.sendall(message)
        finally:
            os.close(reported)
        return ForkedProcess(results)

    def _stop(self) -> None:
        self._socket.close()
        self._process.wait()


@cache
def shared_fork_server() -> ForkServer:
    """Returns the server of this process."""
    return ForkServer()


def _serve(requests: socket.socket) -> None:
    """Starts a process for each request until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the monitors
    while True:
        head, descriptors, _, _ = socket.recv_fds(requests, 4, 2)
        if not head:
            return
        length = int.from_bytes(head, "big")
        message = b""
        while len(message) < length:
            message += requests.recv(length - len(message))
        if not os.fork():
            requests.close()
            _monitor(*json.loads(message), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _monitor(
    program: str | None, arguments: list[str], environment: dict[str, str], output: int, reported: int
) -> None:
    """Starts the process, and reports its pid and its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if not pid:
        os.close(reported)
        _run(program, arguments, environment, output)
    os.close(output)
    os.write(reported, b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    os.write(reported, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _run(program: str | None, arguments: list[str], environment: dict[str, str], output: int) -> NoReturn:
    """Runs the command, or the program, in this process, and exits as an interpreter does."""
    from statefulroute.cli import main  # noqa: PLC0415 - only the server has imported it

    signal.signal(signal.SIGINT, signal.default_int_handler)
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [program or "statefulroute", *arguments]
    if program is None:
        main()
    else:
        runpy.run_path(program, run_name="__main__")
    sys.exit()


if __name__ == "__main__":
    import gc
    from importlib import import_module

    for _module in _MODULES:
        import_module(_module)
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as _requests:
        _serve(_requests)
