"""On what it ran."""

import os
import platform
import re
from pathlib import Path


def description() -> str:
    """The machine, in words."""
    information = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*:\s*(.*)", information.read_text()) if information.exists() else None
    processor = named[1] if named else platform.machine()
    return f"{os.cpu_count()} cores ({processor}), {platform.system()}, Python {platform.python_version()}"
