"""Runs commands on the machine of a node."""

import subprocess
import sys
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.node.machine import PID_FILE


def enter_command(folder: Path) -> list[str]:
    """Returns the prefix that runs a command on the machine of the cluster in `folder`.

    Raises:
        LocalClusterError: The cluster has no machine.
    """
    try:
        pid = (folder / PID_FILE).read_text(encoding="ascii")
    except FileNotFoundError:
        raise LocalClusterError(
            f"Cluster {folder.name!r} has no real node: start one with `localcluster up --provider node`."
        ) from None
    return [sys.executable, "-m", "localcluster.node.enter", pid]


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command on the machine of the cluster in `folder` until it exits, with any exit code."""
    return subprocess.run(
        [*enter_command(folder), *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
