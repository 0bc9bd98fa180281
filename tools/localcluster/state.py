"""The state of clusters on disk: a private folder per cluster, which is locked as long as the cluster runs.

The lock, not a file, shows whether a name is in use. The process that starts the cluster holds it first and passes it
to the guardian; the kernel releases it when its last holder has exited, even after a crash. An unlocked folder is a
leftover: its recorded processes are terminated and it is removed.

The module uses only the standard library: the guardian imports it.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from localcluster.errors import AlreadyRunningError, LocalClusterError
from localcluster.paths import runtime_folder
from localcluster.processes import Process, end, wait_until

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")
RECORD = "cluster.json"
PROCESSES = "processes.json"
LOCK_SECONDS = 5.0
GRACE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Record:
    """The public data of a running cluster.

    Attributes:
        name: The name of the cluster.
        provider: The provider that started it.
        server: The URL of its API server.
        kubeconfig: The administrator's kubeconfig.
        kubectl: A kubectl that matches its version.
        version: The API server's version, like `v1.37.2`.
        has_controllers: Whether controllers, a scheduler and nodes run, so that pods run.
        created: When it became ready, in ISO 8601.
    """

    name: str
    provider: str
    server: str
    kubeconfig: str
    kubectl: str
    version: str
    has_controllers: bool
    created: str


@dataclass(frozen=True, slots=True)
class Roster:
    """The processes of one cluster, and what must be run after they have exited.

    Attributes:
        guardian: The process that started the others and stops them; None before it has recorded itself.
        parts: The running parts.
        cleanup_commands: Commands that remove what is not one of our processes (kind's containers).
    """

    guardian: Process | None
    parts: Mapping[str, Process]
    cleanup_commands: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Claim:
    """A folder that is locked until the lock's last holder closes it.

    Attributes:
        folder: The cluster's folder.
        lock: The file descriptor that holds the lock.
    """

    folder: Path
    lock: int

    def release(self) -> None:
        """Releases the lock; the folder stays."""
        os.close(self.lock)

    def remove(self) -> None:
        """Removes the folder, then releases the lock."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.release()


def cluster_folder(name: str) -> Path:
    """Returns the folder of the cluster with this name, which may not exist.

    Raises:
        LocalClusterError: The name is not valid.
    """
    if not NAME.fullmatch(name):
        raise LocalClusterError(
            f"{name!r} cannot name a cluster: use at most 30 lower-case letters, digits and inner dashes."
        )
    return runtime_folder() / name


def claim(name: str) -> Claim:
    """Claims a name, and cleans up what a crashed cluster with this name left.

    Raises:
        AlreadyRunningError: A cluster with this name runs, starts or stops.
    """
    folder = cluster_folder(name)
    claims: list[Claim] = []

    def attempt() -> bool:
        folder.mkdir(mode=0o700, exist_ok=True)
        claimed = try_claim(folder)
        if claimed is not None:
            claims.append(claimed)
        return bool(claims) or read_record(folder) is not None

    # A check of the folder by another process holds the lock for a moment, too, so one refusal proves nothing.
    wait_until(attempt, LOCK_SECONDS)
    if not claims:
        state = "is running already" if read_record(folder) else "is being started or stopped"
        raise AlreadyRunningError(
            f"A cluster named {name!r} {state}: choose another name, or stop it with `localcluster down --name {name}`."
        )
    clean_up(claims[0])
    return claims[0]


def try_claim(folder: Path) -> Claim | None:
    """Locks a folder if it exists and is not locked."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The previous holder may have removed it meanwhile: then the lock is on a folder without a name.
        if os.path.samestat(os.fstat(lock), folder.stat()):
            return Claim(folder, lock)
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


def clean_up(leftover: Claim) -> None:
    """Terminates what a crashed cluster left running and empties its folder; the claim stays valid."""
    roster = read_roster(leftover.folder)
    end([*([roster.guardian] if roster.guardian else []), *roster.parts.values()], GRACE_SECONDS)
    run_cleanup_commands(roster.cleanup_commands)
    for entry in leftover.folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def clean_up_leftovers() -> None:
    """Cleans up every cluster without a guardian."""
    for folder in folders():
        leftover = try_claim(folder)
        if leftover is not None:
            clean_up(leftover)
            leftover.remove()


def run_cleanup_commands(commands: Sequence[Sequence[str]]) -> None:
    """Runs the commands that remove what is not one of our processes; ignores their failures."""
    for command in commands:
        with contextlib.suppress(OSError):
            subprocess.run(command, capture_output=True, check=False)


def folders() -> Iterator[Path]:
    """Returns the folders of all clusters, sorted by name."""
    return (entry for entry in sorted(runtime_folder().iterdir()) if NAME.fullmatch(entry.name))


def write_record(folder: Path, record: Record) -> None:
    """Records a cluster that has become ready."""
    write_atomically(folder / RECORD, json.dumps(asdict(record), indent=2))


def read_record(folder: Path) -> Record | None:
    """Returns the record of a cluster; None before it is ready and after it is gone."""
    try:
        return Record(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None


def write_roster(folder: Path, roster: Roster) -> None:
    """Records a cluster's processes; the guardian does so whenever they change."""
    write_atomically(folder / PROCESSES, json.dumps(asdict(roster), indent=2))


def read_roster(folder: Path) -> Roster:
    """Returns the recorded processes of a cluster, which may be none."""
    try:
        recorded = json.loads((folder / PROCESSES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Roster(None, {}, ())
    return Roster(
        Process(**recorded["guardian"]) if recorded["guardian"] else None,
        {name: Process(**part) for name, part in recorded["parts"].items()},
        recorded["cleanup_commands"],
    )


def write_atomically(path: Path, text: str) -> None:
    """Writes a file atomically."""
    partial = path.with_name(f"{path.name}.new")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
