"""Runs the clients of workflows as a process."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mcp.record import Workflow, read_workflows
from support.waiting import eventually

_PROGRAM = Path(__file__).with_name("workflows.py")
_END_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Load:
    """Clients that run workflows.

    Attributes:
        process: runs them.
        record: the file of their workflows.
        patience: how long a number of workflows may take, in seconds.
        beside: the way whose workflows do not count.
    """

    process: "subprocess.Popen[bytes]"
    record: Path
    patience: float
    beside: str

    @property
    def number(self) -> int:
        """How many workflows have ended that count."""
        assert self.process.poll() is None, "the clients have ended"
        lines = self.record.read_bytes().splitlines() if self.record.exists() else []
        return sum(f'"way":"{self.beside}"'.encode() not in line for line in lines)

    def await_workflows(self, number: int) -> None:
        """Waits until as many workflows have ended since the beginning."""
        eventually(
            lambda: self.number >= number, f"{number} workflows have ended", seconds=self.patience, poll_seconds=1
        )

    def finish(self) -> list[Workflow]:
        """Lets the present workflows end, and returns all."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(_END_SECONDS) == 0
        return read_workflows(self.record)


@contextmanager
def running_load(
    record: Path, pause: float, ways: Mapping[str, tuple[str, int]], patience: float, beside: str
) -> Iterator[Load]:
    """Runs clients while the context lasts.

    Args:
        record: the file of their workflows.
        pause: the mean pause between the calls of a workflow, in seconds.
        ways: the URL of each gateway, and its number of clients.
        patience: as for `Load`.
        beside: as for `Load`.
    """
    arguments = [f"{name}={url}={clients}" for name, (url, clients) in ways.items()]
    path = os.pathsep.join((str(_PROGRAM.parents[1]), str(_PROGRAM.parents[2] / "operator")))
    process = subprocess.Popen(
        [sys.executable, str(_PROGRAM), str(record), str(pause), *arguments],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        yield Load(process, record, patience, beside)
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()
