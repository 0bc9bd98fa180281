"""What it was measured on."""

import os
import platform
import re
from pathlib import Path

_LOWEST_PRIORITY = 19
"""The least of Linux's priorities."""


def description() -> dict[str, str | int | float]:
    """The machine and how busy it is: a figure without it says nothing."""
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
    """Have a process wait while others want to run: its threads, and its session where Linux shares by sessions."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(thread.name), _LOWEST_PRIORITY)
    session = Path(f"/proc/{pid}/autogroup")
    if session.exists():
        session.write_text(str(_LOWEST_PRIORITY))


def load() -> float:
    """How many tasks ran or wanted to, over the last minute."""
    return os.getloadavg()[0]
