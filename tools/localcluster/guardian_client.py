"""The owner's side of a guardian: starts one and gives it orders."""

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
MAX_SOCKET_PATH = 103  # macOS allows 104 bytes with the closing zero, Linux 108
RESPONSE_SECONDS = 20.0
END_SECONDS = 30.0
STDERR_FILE = "guardian.log"


@dataclass(frozen=True, slots=True)
class PartState:
    """A part as the guardian sees it.

    Attributes:
        pid: Its process id.
        ended: None while it runs; then its exit code, or the negative number of the signal that ended it.
    """

    pid: int
    ended: int | None


class GuardianClient:
    """Gives orders to the guardian of the cluster in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(self, part: str, command: Sequence[str]) -> None:
        """Start a part; its output goes to `<part>.log` in the cluster's folder."""
        self._request("start", part=part, command=[*command])

    def signal(self, part: str, number: int) -> None:
        """Send a part a signal."""
        self._request("signal", part=part, number=number)

    def end(self, part: str) -> None:
        """End a part and wait until it is gone."""
        self._request("end", part=part)

    def restart(self, part: str) -> None:
        """End a part if it runs, and start it as it was started before."""
        self._request("restart", part=part)

    def parts(self) -> dict[str, PartState]:
        """All parts that were ever started, by name."""
        return {name: PartState(**state) for name, state in self._request("parts")["parts"].items()}

    def keep_open(self, sockets: Sequence[socket.socket]) -> None:
        """Let the guardian keep sockets open for as long as it lives."""
        self._request("hold", descriptors=[each.fileno() for each in sockets])

    def add_cleanup(self, command: Sequence[str]) -> None:
        """Have a command run once everything has ended."""
        self._request("farewell", command=[*command])

    def outlive_owner(self) -> None:
        """Let the cluster live on after its owner, until it is told to end."""
        self._request("outlive")

    def log_tail(self, part: str, lines: int = 8) -> str:
        """The last lines that a part has written."""
        try:
            text = (self._folder / f"{part}.log").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _request(self, order: str, *, descriptors: Sequence[int] = (), **details: object) -> dict[str, Any]:
        message = json.dumps({"order": order, **details}).encode() + b"\n"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(RESPONSE_SECONDS)
                connection.connect(str(self._folder / SOCKET))
                sent = socket.send_fds(connection, [message], descriptors)
                if sent < len(message):
                    connection.sendall(message[sent:])
                answer: dict[str, Any] = json.loads(connection.makefile("rb").readline())
        except (OSError, ValueError) as error:
            complaint = self.log_tail(STDERR_FILE.removesuffix(".log"))
            raise NotRunningError(
                f"The guardian of cluster {self._folder.name!r} does not answer ({error}): "
                f"clear up with `localcluster down --name {self._folder.name}`. {complaint}".rstrip()
            ) from error
        if "refused" in answer:
            raise LocalClusterError(f"The guardian of cluster {self._folder.name!r} refused: {answer['refused']}.")
        return answer


def spawn(claim: Claim) -> subprocess.Popen[bytes]:
    """Start a guardian, which shares our lock on the folder from then on.

    Its standard input is the lifeline: when the pipe's writing end, which only this process holds, is closed or
    this process dies, the guardian ends the cluster.
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
    """Tell the guardian of a folder to end its cluster, and wait until it is gone; kill it if it does not go."""
    guardian = read_roster(folder).guardian
    if guardian is not None:
        end([guardian], END_SECONDS)
