"""Manages the node's control groups: the one thing that the kernel does not remove with the machine.

`python -m localcluster.node.cgroups NAME` removes those of a node, whichever process created them.
"""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from localcluster.node.prerequisites import CONTROL_GROUPS
from localcluster.processes import wait_until

EMPTY_SECONDS = 10.0


def name_for(folder: Path) -> str:
    """Returns the unique name of a cluster's control group."""
    return f"localcluster-{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def create(name: str) -> None:
    """Creates the node's group in every hierarchy, with all processors and memory."""
    for hierarchy in _hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (group / setting).exists():
                (group / setting).write_text((hierarchy / setting).read_text(encoding="ascii"), encoding="ascii")


def remove(name: str) -> bool:
    """Removes the node's groups once their processes have exited; returns False if they remain."""
    return wait_until(lambda: all(_remove_tree(hierarchy / name) for hierarchy in _hierarchies()), EMPTY_SECONDS)


def remaining(name: str) -> list[Path]:
    """Returns the node's existing groups."""
    return [hierarchy / name for hierarchy in _hierarchies() if (hierarchy / name).exists()]


def _hierarchies() -> Iterator[Path]:
    return (each for each in sorted(CONTROL_GROUPS.iterdir()) if (each / "cgroup.procs").exists())


def _remove_tree(group: Path) -> bool:
    for folder, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):  # not empty yet
            Path(folder).rmdir()
    return not group.exists()


if __name__ == "__main__":
    remove(sys.argv[1])
