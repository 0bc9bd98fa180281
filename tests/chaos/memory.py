"""Limits the memory of processes by a control group, as a kubelet does."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from localcluster.processes import wait_until

_HIERARCHY = Path("/sys/fs/cgroup/memory")
_NO_LIMIT = -1
_CLEANUP_SECONDS = 10.0

#: Enters a group and replaces itself by the command that follows.
_ENTER = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


def unsupported_reason() -> str | None:
    """Returns why memory cannot be limited on this machine, or None."""
    if not (_HIERARCHY / "memory.limit_in_bytes").exists():
        return f"There are no control groups of version 1 for memory at {_HIERARCHY}."
    if not os.access(_HIERARCHY, os.W_OK) or os.geteuid():
        return "It takes root to limit the memory of processes."
    return None


class MemoryGroup:
    """A control group; the kernel kills processes that exceed its limit.

    Args:
        name: the unique name of the group.
        mebibytes: the limit.
    """

    def __init__(self, name: str, mebibytes: int) -> None:
        self._folder = _HIERARCHY / f"{name}-{os.getpid()}"
        self._folder.mkdir(exist_ok=True)
        self._limit(mebibytes * 2**20)

    @property
    def prefix(self) -> Sequence[str]:
        """The command prefix that runs a command in the group."""
        return ["/bin/sh", "-c", _ENTER, str(self._folder)]

    @property
    def peak_mebibytes(self) -> float:
        """The peak usage, including reclaimable page cache."""
        return int(self._read("memory.max_usage_in_bytes")) / 2**20

    @property
    def used_mebibytes(self) -> float:
        """The present usage without reclaimable page cache."""
        statistics = dict(line.split() for line in self._read("memory.stat").splitlines())
        return int(statistics["total_rss"]) / 2**20

    @property
    def oom_kills(self) -> int:
        """The number of processes that were killed because of the limit."""
        counters = dict(line.split() for line in self._read("memory.oom_control").splitlines())
        return int(counters["oom_kill"])

    def close(self) -> None:
        """Removes the group; its processes continue without a limit."""
        self._limit(_NO_LIMIT)
        assert wait_until(self._is_gone, _CLEANUP_SECONDS), f"{self._folder} cannot be removed"

    def _is_gone(self) -> bool:
        for pid in self._read("cgroup.procs").split():
            with suppress(ProcessLookupError):
                (_HIERARCHY / "cgroup.procs").write_text(pid)
        with suppress(OSError):  # an exited process may still be in the group
            self._folder.rmdir()
        return not self._folder.exists()

    def _limit(self, number: int) -> None:
        swapped = self._folder / "memory.memsw.limit_in_bytes"  # is never less than the other
        if swapped.exists():
            swapped.write_text(str(_NO_LIMIT))
        (self._folder / "memory.limit_in_bytes").write_text(str(number))
        if swapped.exists():
            swapped.write_text(str(number))

    def _read(self, file: str) -> str:
        return (self._folder / file).read_text()
