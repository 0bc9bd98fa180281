"""The guardian: a small process that starts a cluster's parts and stops them, even if its owner is killed.

It leads a separate session, so that Ctrl-C in a terminal reaches only the owner. It is the parts' parent, so that the
kernel stops them if the guardian itself is killed (on Linux). It stops, with everything it started, when

- its standard input closes: only the owner holds the other end, so the owner has exited;
- it receives SIGTERM.

It accepts requests as lines of JSON over a socket in the cluster's folder:

    {"request": "start", "part": "etcd", "command": [...]}   start a part; its output goes to <part>.log
    {"request": "signal", "part": "etcd", "number": 9}       send a signal to a part; SIGSTOP: wait until it has stopped
    {"request": "end", "part": "etcd"}                       terminate a part and wait until it has exited
    {"request": "restart", "part": "etcd"}                   terminate a part if it runs, and start it as before
    {"request": "parts"}                                     return each part's pid and exit code
    {"request": "hold"}                                      keep the file descriptors that come with the request
    {"request": "cleanup", "command": [...]}                 run a command after all parts have exited
    {"request": "outlive"}                                   no longer stop with the owner

It must stay single-threaded (see `processes.die_with_parent`) and needs only the standard library, to start quickly.
"""

import contextlib
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from localcluster.processes import die_with_parent, identify, is_stopped, wait_until
from localcluster.state import Roster, run_cleanup_commands, write_roster

GRACE_SECONDS = 3.0
LAST_GRACE_SECONDS = 1.0
REQUEST_SECONDS = 2.0
REQUEST_BYTES = 1 << 16
MAX_DESCRIPTORS = 16


class Guardian:
    """Starts, watches and stops the parts of one cluster.

    Args:
        folder: The cluster's folder, which is removed with the guardian.
        listener: The socket for requests.
    """

    def __init__(self, folder: Path, listener: socket.socket) -> None:
        self._folder = folder
        self._listener = listener
        self._commands: dict[str, list[str]] = {}
        self._parts: dict[str, subprocess.Popen[bytes]] = {}
        self._cleanup_commands: list[list[str]] = []
        self._ends_with_owner = True
        self._is_stopping = False

    def run(self) -> None:
        """Serves requests until it has to stop, then cleans everything up."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ, self._serve)
            selector.register(sys.stdin.fileno(), selectors.EVENT_READ, self._on_owner_exit)
            selector.register(_signal_socket(self._request_stop), selectors.EVENT_READ, _drain)
            self._record()
            try:
                while not self._is_stopping:
                    for key, _ in selector.select():
                        key.data(key.fileobj)
                        if key.data == self._on_owner_exit:
                            selector.unregister(key.fileobj)
            finally:
                self._end_all()

    def _request_stop(self, *_: object) -> None:
        self._is_stopping = True

    def _on_owner_exit(self, _: object) -> None:
        self._is_stopping = self._is_stopping or self._ends_with_owner

    def _serve(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.settimeout(REQUEST_SECONDS)
            message, descriptors, _, _ = socket.recv_fds(connection, REQUEST_BYTES, MAX_DESCRIPTORS)
            # Descriptors are kept by not closing them; a child never inherits them.
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)  # noqa: FBT003 - takes no keyword
            while not message.endswith(b"\n") and (more := connection.recv(REQUEST_BYTES)):
                message += more
            connection.sendall(json.dumps(self._respond(message)).encode() + b"\n")

    def _respond(self, message: bytes) -> dict[str, Any]:
        try:
            self._execute(json.loads(message))
        except (KeyError, OSError, ValueError) as error:  # a bad request must not stop the cluster
            return {"refused": f"{type(error).__name__}: {error}"}
        return {"parts": {name: {"pid": part.pid, "ended": part.poll()} for name, part in sorted(self._parts.items())}}

    def _execute(self, request: dict[str, Any]) -> None:
        name = request.get("part", "")
        match request["request"]:
            case "start":
                self._commands[name] = request["command"]
                self._start(name)
            case "signal":
                _send(self._parts[name], request["number"])
            case "end":
                _end([self._parts[name]], GRACE_SECONDS)
            case "restart":
                _end([self._parts[name]], GRACE_SECONDS)
                self._start(name)
            case "cleanup":
                self._cleanup_commands.append(request["command"])
                self._record()
            case "outlive":
                self._ends_with_owner = False

    def _start(self, name: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._parts[name] = subprocess.Popen(
                self._commands[name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                preexec_fn=die_with_parent(os.getpid()),  # noqa: PLW1509 - safe: one thread only
            )
        self._record()

    def _record(self) -> None:
        living = {name: identify(part.pid) for name, part in self._parts.items()}
        parts = {name: process for name, process in living.items() if process is not None}
        write_roster(self._folder, Roster(identify(os.getpid()), parts, self._cleanup_commands))

    def _end_all(self) -> None:
        # etcd stops last: the others stop faster while it still responds.
        _end([part for name, part in self._parts.items() if name != "etcd"], GRACE_SECONDS)
        _end(list(self._parts.values()), LAST_GRACE_SECONDS)
        run_cleanup_commands(self._cleanup_commands)
        shutil.rmtree(self._folder, ignore_errors=True)


def main() -> None:
    """Runs a guardian: `guardian FOLDER LISTENER`, where LISTENER is an inherited, listening socket."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    Guardian(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))).run()


def _signal_socket(on_termination: Any) -> socket.socket:  # noqa: ANN401 - a signal handler of any type
    """Returns a socket that becomes readable when a signal arrives, which wakes up a selector."""
    arrivals, wakeup = socket.socketpair()
    wakeup.setblocking(False)  # noqa: FBT003 - takes no keyword
    signal.set_wakeup_fd(wakeup.detach())
    signal.signal(signal.SIGTERM, on_termination)
    return arrivals


def _drain(arrivals: socket.socket) -> None:
    arrivals.recv(REQUEST_BYTES)


def _send(part: subprocess.Popen[bytes], number: int) -> None:
    """Sends a signal; after SIGSTOP waits until the process has stopped, which takes time on a busy machine."""
    part.send_signal(number)
    if number == signal.SIGSTOP:
        wait_until(lambda: part.poll() is not None or is_stopped(part.pid), LAST_GRACE_SECONDS)


def _end(parts: list[subprocess.Popen[bytes]], grace: float) -> None:
    """Terminates parts: the API server sometimes ignores SIGTERM, and a stopped process never receives it."""
    for part in parts:
        part.terminate()
        part.send_signal(signal.SIGCONT)
    if not wait_until(lambda: all(part.poll() is not None for part in parts), grace):
        for part in parts:
            part.kill()
        for part in parts:
            part.wait()


if __name__ == "__main__":
    main()
