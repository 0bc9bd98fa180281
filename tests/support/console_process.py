"""Runs `statefulroute console` as a process, and reads what it serves."""

import json
import os
import select
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from support.operator_process import NO_AUTHORITIES, PROGRAM

START_SECONDS = 60.0


class ConsoleProcess:
    """A running console.

    Args:
        process: the process.

    Attributes:
        address: the address that it has printed.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
        assert readable, "the console has printed no address"
        self.address = process.stdout.readline().strip()
        assert self.address.startswith("http://"), self.stop()

    def get(self, path: str, **query: str | int) -> Any:
        """Returns what a path below the token serves, decoded."""
        return json.loads(self.read(path, **query))

    def read(self, path: str, **query: str | int) -> bytes:
        """Returns what a path below the token serves."""
        with urllib.request.urlopen(f"{self.address}{path}?{urlencode(query)}", timeout=30) as response:  # noqa: S310 - on loopback
            return bytes(response.read())

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        """Sends something to a path below the token as the page does; returns the status and the decoded response."""
        origin = "/".join(self.address.split("/")[:3])
        own = {"Content-Type": "application/json", "Origin": origin}
        request = urllib.request.Request(self.address + path, json.dumps(body).encode(), own | headers)  # noqa: S310 - on loopback
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - on loopback
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def events(self, path: str) -> Iterator[tuple[str, Any]]:
        """Yields the events of a stream; it ends when the generator is closed."""
        with urllib.request.urlopen(f"{self.address}{path}", timeout=30) as response:  # noqa: S310 - on loopback
            name = ""
            for line in response:
                field, _, value = line.decode().strip().partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield name, json.loads(value)

    def stop(self) -> str:
        """Stops it as Ctrl-C does; returns what it has printed on the standard error."""
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=30)
        return errors


@contextmanager
def running_console(
    kubeconfig: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[ConsoleProcess]:
    """Returns a context with a console at a free port, which opens no browser unless an option says so."""
    with launch_console(kubeconfig, *options, environment=environment) as process:
        try:
            console = ConsoleProcess(process)
            yield console
            if process.poll() is None:
                console.stop()
        finally:
            process.kill()


def launch_console(
    kubeconfig: Path, *options: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Starts a console, and does not wait for its address."""
    return subprocess.Popen(
        [PROGRAM, "console", "--no-browser", "--kubeconfig", kubeconfig, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **NO_AUTHORITIES, **(environment or {})},
    )


def status_of(url: str) -> int:
    """Returns the status of the response to a GET."""
    try:
        with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310 - on loopback
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
