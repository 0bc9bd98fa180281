"""Installs the locked packages of a folder by npm, once, into the user's cache folder."""

import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.locks import exclusive
from localcluster.paths import cache_folder

#: The files that determine what npm installs.
_FILES = ("package.json", "package-lock.json", ".npmrc")

_INSTALL_SECONDS = 600.0


def node_modules(source: Path, npm: Sequence[str | Path] | None = None) -> Path:
    """Returns a folder with the locked packages of a folder; installs them unless they exist.

    Args:
        source: the folder of package.json, package-lock.json and .npmrc.
        npm: the command of npm; None is the machine's.

    Raises:
        LocalClusterError: npm is missing or cannot install them.
    """
    digest = hashlib.sha256(b"\0".join((source / name).read_bytes() for name in _FILES)).hexdigest()[:16]
    folder = cache_folder() / "programs" / f"npm-{digest}"
    with exclusive(folder.with_name(f"{folder.name}.lock"), lambda _: None):
        if not folder.exists():
            partial = folder.with_name(f"{folder.name}.new")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            for name in _FILES:
                shutil.copy(source / name, partial)
            run([*(npm or _machines_npm()), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], partial)
            partial.replace(folder)
    return folder / "node_modules"


def run(command: Sequence[str | Path], folder: Path, environment: object = None) -> None:
    """Runs a program in a folder.

    Raises:
        LocalClusterError: it fails; the message has its output.
    """
    completed = subprocess.run(
        command,
        cwd=folder,
        env=environment,  # type: ignore[arg-type]
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_INSTALL_SECONDS,
        check=False,
    )
    if completed.returncode:
        raise LocalClusterError(f"{Path(command[0]).name} fails:\n{completed.stdout}")


def _machines_npm() -> Sequence[str]:
    npm = shutil.which("npm")
    if npm is None:
        raise LocalClusterError("there is no npm on PATH")
    return (npm,)
