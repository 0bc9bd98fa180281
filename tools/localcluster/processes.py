"""Identifies, signals and terminates processes safely.

A process is identified by its id *and* its start time, because the system reuses ids. The module uses only the standard
library: the guardian imports it.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Process:
    """One process, distinct from any later one with the same id.

    Attributes:
        pid: The process id.
        started: When it started, in a format of this system and this boot.
    """

    pid: int
    started: str


def identify(pid: int) -> Process | None:
    """Returns the process with this id, or None if it does not exist or is a zombie."""
    started = _started_on_linux(pid) if sys.platform == "linux" else _started_by_ps(pid)
    return Process(pid, started) if started else None


def is_alive(process: Process) -> bool:
    """Returns whether this process still runs."""
    return identify(process.pid) == process


def send(process: Process, number: int) -> bool:
    """Sends a signal to this process; returns False if it is gone, even if its id is in use again."""
    if sys.platform == "linux":
        return _send_on_linux(process, number)
    if not is_alive(process):
        return False
    os.kill(process.pid, number)
    return True


def end(processes: Iterable[Process], grace: float) -> None:
    """Terminates processes, and kills after `grace` seconds those that still run."""
    living = [process for process in processes if send(process, signal.SIGTERM)]
    if not wait_until(lambda: not any(map(is_alive, living)), grace):
        for process in living:
            send(process, signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, living)), grace)


def is_stopped(pid: int) -> bool:
    """Returns whether all threads of a process are stopped: SIGSTOP takes effect only when a thread is scheduled."""
    if sys.platform != "linux":
        return _shown_by_ps(pid, "state=").startswith("T")
    states = {_stat_fields(thread)[0] for thread in Path(f"/proc/{pid}/task").glob("*/stat")}
    return states == {"T"}


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Polls until a condition holds; returns False after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def die_with_parent(parent: int) -> Callable[[], None]:
    """Returns a function that a child runs between fork and exec so that it dies when `parent` does.

    The kernel sends the signal when the *thread* that forked exits, so only a single-threaded process should use this;
    then it is also safe to run Python code after the fork. On systems other than Linux it does nothing, and the next
    cleanup removes leftovers.
    """
    if sys.platform != "linux":
        return lambda: None
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        prctl(set_parent_death_signal, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the call of prctl
            os.kill(os.getpid(), signal.SIGKILL)

    return prepare


def _stat_fields(stat: Path) -> list[str]:
    """Returns the fields of proc_pid_stat(5) from the third on, the state; a dead process ("X") has no others."""
    try:
        line = stat.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ["X"]
    # The second field is the program's name in brackets and may contain anything.
    return line.rpartition(")")[2].split()


def _started_on_linux(pid: int) -> str | None:
    state, *fields = _stat_fields(Path(f"/proc/{pid}/stat"))
    if state in {"Z", "X"}:
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{fields[18]}"


def _shown_by_ps(pid: int, fields: str) -> str:
    return subprocess.run(
        ["ps", "-o", fields, "-p", str(pid)],  # noqa: S607 - the path of ps differs between systems
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    ).stdout.strip()


def _started_by_ps(pid: int) -> str | None:
    state, _, started = _shown_by_ps(pid, "state=,lstart=").partition(" ")
    return None if not started or state.startswith("Z") else started.strip()


def _send_on_linux(process: Process, number: int) -> bool:
    if sys.platform != "linux":  # tells the type checker that the rest needs Linux
        return False
    try:
        # The handle pins the process: its id cannot pass to another between the check and the signal.
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not is_alive(process):
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True
