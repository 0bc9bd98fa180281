"""Describes the machine of a run."""

import os
import platform
import re
from pathlib import Path


def description() -> str:
    """Returns a short description of the machine."""
    information = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*:\s*(.*)", information.read_text()) if information.exists() else None
    processor = named[1] if named else platform.machine()
    return f"{os.cpu_count()} cores ({processor}), {platform.system()}, Python {platform.python_version()}"
