"""Runs processes and measures their CPU time and memory, as Linux reports them."""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PROGRAM = Path(sys.executable).with_name("statefulroute")

_TICKS = os.sysconf("SC_CLK_TCK")
_STOP_SECONDS, _START_SECONDS, _IDLE_TIMEOUT_SECONDS = 30.0, 120.0, 120.0
_SYNCED = "the caches are synced"
_IDLE_CORE_SHARE = 0.02
"""A process that uses less of a core than this is idle."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The resource usage of a process, by its id."""

    pid: int

    @property
    def cpu_seconds(self) -> float:
        """The CPU time used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    @property
    def mebibytes(self) -> tuple[float, float]:
        """The resident memory now, and at its peak."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        now, peak = (int(re.findall(rf"{name}:\s+(\d+)", status)[0]) / 1024 for name in ("VmRSS", "VmHWM"))
        return now, peak


@dataclass(frozen=True, slots=True)
class MeasuredProcess:
    """A running process.

    Attributes:
        process: the process.
        log: the file of its standard error.
        started: when it was started, in monotonic seconds.
    """

    process: "subprocess.Popen[bytes]"
    log: Path
    started: float

    @property
    def cpu_seconds(self) -> float:
        """The CPU time used so far."""
        return Usage(self.process.pid).cpu_seconds

    @property
    def mebibytes(self) -> tuple[float, float]:
        """The resident memory now, and at its peak."""
        return Usage(self.process.pid).mebibytes

    async def wait_idle(self, seconds: float = 1.0) -> None:
        """Waits until the process is idle."""
        end = time.monotonic() + _IDLE_TIMEOUT_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise SystemExit(f"{self.process.args!r} has ended:\n{self.log.read_text()[-2000:]}")
            before = self.cpu_seconds
            await asyncio.sleep(seconds)
            if self.cpu_seconds - before < _IDLE_CORE_SHARE * seconds:
                return
        raise SystemExit(f"{self.process.args!r} was still busy after {_IDLE_TIMEOUT_SECONDS:g} s")

    async def wait_synced(self) -> float:
        """Waits until the caches of an operator or a resolver are synced; returns the seconds since its start."""
        while _SYNCED not in self.log.read_text():
            if self.process.poll() is not None or time.monotonic() > self.started + _START_SECONDS:
                raise SystemExit(f"{self.process.args!r} did not start:\n{self.log.read_text()[-2000:]}")
            await asyncio.sleep(0.02)
        return time.monotonic() - self.started


def _start(
    command: Sequence[str | Path], output: IO[bytes], environment: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, stdout=output, stderr=output, env=environment)


@asynccontextmanager
async def running_process(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> AsyncIterator[MeasuredProcess]:
    """Runs a process and terminates it on exit if it still runs."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = _start(command, output, {**os.environ, **(environment or {})})
        try:
            yield MeasuredProcess(process, log, time.monotonic())
        finally:
            if process.poll() is None:
                process.terminate()
            await asyncio.to_thread(process.wait, _STOP_SECONDS)


@asynccontextmanager
async def running_operator(kubeconfig: Path, *options: str) -> AsyncIterator[MeasuredProcess]:
    """Runs an operator, which may not be ready yet. It runs without leader election unless the options enable it."""
    alone = () if "--leader-elect" in options else ("--no-leader-elect",)
    command: list[str | Path] = [PROGRAM, "operator", "--kubeconfig", kubeconfig, "--log-format", "json"]
    async with running_process([*command, *alone, *options]) as process:
        yield process
