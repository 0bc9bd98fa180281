"""Describes the machine that runs the benchmark."""

import os
import platform
import re
from pathlib import Path

_LOWEST_PRIORITY = 19
"""The lowest priority on Linux."""


def description() -> dict[str, str | int | float]:
    """Returns the machine's hardware and software: a figure means nothing without them."""
    processor = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "processor": processor[1] if processor else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "gibibytes": round(int(memory[1]) / 2**20) if memory else 0,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def lower_priority(pid: int) -> None:
    """Lowers the priority of a process: of its threads, and of its session where Linux schedules by session."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(thread.name), _LOWEST_PRIORITY)
    session = Path(f"/proc/{pid}/autogroup")
    if session.exists():
        session.write_text(str(_LOWEST_PRIORITY))


def load() -> float:
    """Returns the average number of running or runnable tasks over the last minute."""
    return os.getloadavg()[0]
