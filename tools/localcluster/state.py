"""What a cluster records on disk: a private folder a cluster, which is locked for as long as the cluster lives.

The lock, not a file, says whether a name is taken. It belongs to whoever starts the cluster and passes to its
guardian; the kernel frees it when the last of them is gone, however they died. An unlocked folder is a leftover:
its recorded processes are ended and it is removed.

Only the standard library is used: the guardian imports this module.
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
    """What everybody may know about a running cluster.

    Attributes:
        name: The name it was started under.
        provider: Which provider started it.
        server: The URL of its API server.
        kubeconfig: The administrator's kubeconfig.
        kubectl: A kubectl that fits its version.
        version: The API server's version, like `v1.37.2`.
        has_controllers: Whether controllers, a scheduler and nodes are there, so that pods run.
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
    """The processes of one cluster, and what must be run once they are gone.

    Attributes:
        guardian: The process that started the others and ends them; None before it has written its name.
        parts: The running parts.
        farewells: Commands that remove what is not a process of ours (kind's containers).
    """

    guardian: Process | None
    parts: Mapping[str, Process]
    farewells: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Claim:
    """A folder that belongs to us alone until the lock's last holder closes it.

    Attributes:
        folder: The cluster's folder.
        lock: The file descriptor that holds the lock.
    """

    folder: Path
    lock: int

    def release(self) -> None:
        """Give up our hold on the lock; the folder stays."""
        os.close(self.lock)

    def remove(self) -> None:
        """Remove the folder, then give up the lock."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.release()


def cluster_folder(name: str) -> Path:
    """The folder of the cluster of this name, which need not be there.

    Raises:
        LocalClusterError: The name cannot be a cluster's.
    """
    if not NAME.fullmatch(name):
        raise LocalClusterError(
            f"{name!r} cannot name a cluster: use at most 30 lower-case letters, digits and inner dashes."
        )
    return runtime_folder() / name


def claim(name: str) -> Claim:
    """Make a name ours, clearing away what a dead cluster of that name left.

    Raises:
        AlreadyRunningError: A cluster of that name runs, starts or stops.
    """
    folder = cluster_folder(name)
    claims: list[Claim] = []

    def attempt() -> bool:
        folder.mkdir(mode=0o700, exist_ok=True)
        taken = try_claim(folder)
        if taken is not None:
            claims.append(taken)
        return bool(claims) or read_record(folder) is not None

    # Somebody's look at the folder holds the lock for a moment too, so one refusal means little.
    wait_until(attempt, LOCK_SECONDS)
    if not claims:
        what = "is running already" if read_record(folder) else "is being started or stopped"
        raise AlreadyRunningError(
            f"A cluster named {name!r} {what}: choose another name, or stop it with `localcluster down --name {name}`."
        )
    clean_up(claims[0])
    return claims[0]


def try_claim(folder: Path) -> Claim | None:
    """Lock a folder if it is there and nobody holds it."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it may have removed it meanwhile: then we hold a folder that has no name any more.
        if os.path.samestat(os.fstat(lock), folder.stat()):
            return Claim(folder, lock)
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


def clean_up(leftover: Claim) -> None:
    """End what a dead cluster left running and empty its folder; the claim stays ours."""
    roster = read_roster(leftover.folder)
    end([*([roster.guardian] if roster.guardian else []), *roster.parts.values()], GRACE_SECONDS)
    run_cleanup_commands(roster.farewells)
    for entry in leftover.folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def clean_up_leftovers() -> None:
    """Clear away every cluster whose guardian is gone."""
    for folder in folders():
        leftover = try_claim(folder)
        if leftover is not None:
            clean_up(leftover)
            leftover.remove()


def run_cleanup_commands(commands: Sequence[Sequence[str]]) -> None:
    """Run the commands that remove what is not a process of ours; their failure changes nothing for us."""
    for command in commands:
        with contextlib.suppress(OSError):
            subprocess.run(command, capture_output=True, check=False)


def folders() -> Iterator[Path]:
    """The folders of all clusters, in order of name."""
    return (entry for entry in sorted(runtime_folder().iterdir()) if NAME.fullmatch(entry.name))


def write_record(folder: Path, record: Record) -> None:
    """Record a cluster that has become ready."""
    write_atomically(folder / RECORD, json.dumps(asdict(record), indent=2))


def read_record(folder: Path) -> Record | None:
    """The record of a cluster; None until it is ready, and once it is gone."""
    try:
        return Record(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None


def write_roster(folder: Path, roster: Roster) -> None:
    """Record a cluster's processes; the guardian does so whenever they change."""
    write_atomically(folder / PROCESSES, json.dumps(asdict(roster), indent=2))


def read_roster(folder: Path) -> Roster:
    """The recorded processes of a cluster: none where nothing is recorded."""
    try:
        found = json.loads((folder / PROCESSES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Roster(None, {}, ())
    return Roster(
        Process(**found["guardian"]) if found["guardian"] else None,
        {name: Process(**part) for name, part in found["parts"].items()},
        found["farewells"],
    )


def write_atomically(path: Path, text: str) -> None:
    """Write a file that its readers see whole or not at all."""
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
