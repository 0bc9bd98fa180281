"""Processes as the system knows them: who they are, whether they live, and how to end exactly them.

A process is known by its id *and* its start time, because the system gives an id away again once its process
is gone. Only the standard library is used: the guardian imports this module.
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
    """One process, told apart from any later one that is given the same id.

    Attributes:
        pid: The process id.
        started: When it started, in words that only this system and this boot need to understand.
    """

    pid: int
    started: str


def identify(pid: int) -> Process | None:
    """The process that has this id now, or None where there is none or only its unreaped remains."""
    started = _started_on_linux(pid) if sys.platform == "linux" else _started_by_ps(pid)
    return Process(pid, started) if started else None


def is_alive(process: Process) -> bool:
    """Whether this very process still runs."""
    return identify(process.pid) == process


def send(process: Process, number: int) -> bool:
    """Send a signal to this very process; False when it is gone, whoever has its id now."""
    if sys.platform == "linux":
        return _send_on_linux(process, number)
    if not is_alive(process):
        return False
    os.kill(process.pid, number)
    return True


def end(processes: Iterable[Process], grace: float) -> None:
    """Ask processes to end, and kill after `grace` seconds those that have not."""
    living = [process for process in processes if send(process, signal.SIGTERM)]
    if not wait_until(lambda: not any(map(is_alive, living)), grace):
        for process in living:
            send(process, signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, living)), grace)


def is_stopped(pid: int) -> bool:
    """Whether a process stands still, all of its threads: SIGSTOP reaches it only when it is its turn to run."""
    if sys.platform != "linux":
        return _shown_by_ps(pid, "state=").startswith("T")
    states = {_stat_fields(thread)[0] for thread in Path(f"/proc/{pid}/task").glob("*/stat")}
    return states == {"T"}


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Look again and again until a condition holds; False when `timeout` seconds did not bring it."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def die_with_parent(parent: int) -> Callable[[], None]:
    """What a child runs between fork and exec so that it dies when `parent` does, however that happens.

    The kernel sends the signal when the *thread* that forked ends, so only a process with a single thread
    should use this: then it is also safe to run Python code after the fork. Elsewhere than on Linux it does
    nothing, and leftovers wait for the next sweep.
    """
    if sys.platform != "linux":
        return lambda: None
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        prctl(set_parent_death_signal, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the kernel was told
            os.kill(os.getpid(), signal.SIGKILL)

    return prepare


def _stat_fields(stat: Path) -> list[str]:
    """The fields of proc_pid_stat(5) from the third on, the state; one that is dead ("X") has no others."""
    try:
        line = stat.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ["X"]
    # The second field is the program's name in brackets and may hold anything.
    return line.rpartition(")")[2].split()


def _started_on_linux(pid: int) -> str | None:
    state, *fields = _stat_fields(Path(f"/proc/{pid}/stat"))
    if state in {"Z", "X"}:
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{fields[18]}"


def _shown_by_ps(pid: int, fields: str) -> str:
    return subprocess.run(
        ["ps", "-o", fields, "-p", str(pid)],  # noqa: S607 - where ps lies differs between systems
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    ).stdout.strip()


def _started_by_ps(pid: int) -> str | None:
    state, _, started = _shown_by_ps(pid, "state=,lstart=").partition(" ")
    return None if not started or state.startswith("Z") else started.strip()


def _send_on_linux(process: Process, number: int) -> bool:
    if sys.platform != "linux":  # tells the type checker what only Linux has
        return False
    try:
        # The handle pins the process: its id cannot pass to another between the look and the signal.
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
