"""The owner's side of a guardian: starts one and sends it requests."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster.errors import LocalClusterError, NotRunningError
from localcluster.processes import end
from localcluster.state import Claim, read_roster

SOCKET = "guardian.sock"
MAX_SOCKET_PATH = 103  # macOS allows 104 bytes with the terminating zero, Linux 108
RESPONSE_SECONDS = 20.0
END_SECONDS = 30.0
STDERR_FILE = "guardian.log"


@dataclass(frozen=True, slots=True)
class PartState:
    """The state of a part.

    Attributes:
        pid: Its process id.
        ended: None while it runs; then its exit code, or the negative number of the signal that killed it.
    """

    pid: int
    ended: int | None


class GuardianClient:
    """Sends requests to the guardian of the cluster in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(self, part: str, command: Sequence[str]) -> None:
        """Starts a part; its output goes to `<part>.log` in the cluster's folder."""
        self._request("start", part=part, command=[*command])

    def signal(self, part: str, number: int) -> None:
        """Sends a signal to a part."""
        self._request("signal", part=part, number=number)

    def end(self, part: str) -> None:
        """Terminates a part and waits until it has exited."""
        self._request("end", part=part)

    def restart(self, part: str) -> None:
        """Terminates a part if it runs, and starts it with the same command."""
        self._request("restart", part=part)

    def parts(self) -> dict[str, PartState]:
        """Returns all parts that were ever started, by name."""
        return {name: PartState(**state) for name, state in self._request("parts")["parts"].items()}

    def keep_open(self, sockets: Sequence[socket.socket]) -> None:
        """Keeps sockets open as long as the guardian runs."""
        self._request("hold", descriptors=[each.fileno() for each in sockets])

    def add_cleanup(self, command: Sequence[str]) -> None:
        """Runs a command after everything has stopped."""
        self._request("cleanup", command=[*command])

    def outlive_owner(self) -> None:
        """Keeps the cluster running after its owner exits, until it is stopped."""
        self._request("outlive")

    def log_tail(self, part: str, lines: int = 8) -> str:
        """Returns the last lines that a part has written."""
        try:
            text = (self._folder / f"{part}.log").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _request(self, request: str, *, descriptors: Sequence[int] = (), **details: object) -> dict[str, Any]:
        message = json.dumps({"request": request, **details}).encode() + b"\n"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(RESPONSE_SECONDS)
                connection.connect(str(self._folder / SOCKET))
                sent_bytes = socket.send_fds(connection, [message], descriptors)
                if sent_bytes < len(message):
                    connection.sendall(message[sent_bytes:])
                response: dict[str, Any] = json.loads(connection.makefile("rb").readline())
        except (OSError, ValueError) as error:
            log = self.log_tail(STDERR_FILE.removesuffix(".log"))
            raise NotRunningError(
                f"The guardian of cluster {self._folder.name!r} does not respond ({error}): "
                f"clean up with `localcluster down --name {self._folder.name}`. {log}".rstrip()
            ) from error
        if "refused" in response:
            raise LocalClusterError(f"The guardian of cluster {self._folder.name!r} refused: {response['refused']}.")
        return response


def spawn(claim: Claim) -> subprocess.Popen[bytes]:
    """Starts a guardian, which then shares our lock on the folder.

    Its standard input is the lifeline: when the pipe's writing end, which only this process holds, is closed or this
    process dies, the guardian stops the cluster.
    """
    address = str(claim.folder / SOCKET)
    if len(address.encode()) > MAX_SOCKET_PATH:
        raise LocalClusterError(
            f"{address} is too long for a socket's address: set XDG_RUNTIME_DIR to a folder with a shorter path."
        )
    package = Path(__file__).parents[1]
    search = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
        (claim.folder / STDERR_FILE).open("wb") as log,
    ):
        listener.bind(address)
        listener.listen()
        return subprocess.Popen(
            [sys.executable, "-m", "localcluster.guardian", str(claim.folder), str(listener.fileno())],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=(claim.lock, listener.fileno()),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(search)},
            start_new_session=True,
        )


def end_guardian(folder: Path) -> None:
    """Terminates the guardian of a folder and waits until it has exited; kills it if it does not exit."""
    guardian = read_roster(folder).guardian
    if guardian is not None:
        end([guardian], END_SECONDS)
