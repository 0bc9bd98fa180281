"""Programs of Debian's packages, for tests that need one: unpacked into the user's cache, and not installed."""

import os
import shutil
import subprocess
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.locks import exclusive
from localcluster.paths import cache_folder
from localcluster.progress import Progress
from localcluster.toolchain import run_with_progress


def debian_program(name: str, package: str, progress: Progress) -> Path:
    """A program: the machine's own, or the one of a Debian package, which has to do without the package's relations.

    No right is needed for that, and no service is started.

    Args:
        name: The program's name.
        package: The package that has it in `/usr/bin` or `/usr/sbin`.
        progress: Hears how it goes.

    Raises:
        LocalClusterError: It is not here and cannot be had.
    """
    if (found := shutil.which(name)) is not None:
        return Path(found)
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise LocalClusterError(f"There is no {name} on PATH: install it; Debian has it in the package {package}.")
    folder = cache_folder() / "packages" / package
    lock = folder.with_name(f"{package}.lock")
    with exclusive(lock, lambda waited: progress.tick(f"Waiting for another download of {package}", waited)):
        program = _program_in(folder, name)
        if program is None:
            _unpack(package, folder, progress)
            program = _program_in(folder, name)
    if program is None:
        raise LocalClusterError(f"Debian's package {package} has no {name}: install it and put it on PATH.")
    return program


def _program_in(folder: Path, name: str) -> Path | None:
    programs = (folder / "usr" / place / name for place in ("bin", "sbin"))
    return next((program for program in programs if program.exists()), None)


def _unpack(package: str, folder: Path, progress: Progress) -> None:
    draft = folder.with_name(f"{package}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    failure = _download(package, draft, progress)
    if failure is not None and os.geteuid() == 0:  # the lists of a fresh machine are empty or old
        run_with_progress(["apt-get", "update"], "Reading the lists of Debian's packages", progress)
        failure = _download(package, draft, progress)
    if failure is not None:
        raise LocalClusterError(f"`apt-get download {package}` failed: see the message below.\n{failure}")
    (archive,) = draft.glob("*.deb")
    done = subprocess.run(
        ["dpkg-deb", "--extract", archive, draft],  # noqa: S607 - it was looked for
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LocalClusterError(f"{archive.name} cannot be unpacked: {done.stderr.strip()}")
    archive.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    draft.replace(folder)


def _download(package: str, folder: Path, progress: Progress) -> str | None:
    return run_with_progress(["apt-get", "download", package], f"Downloading {package}", progress, folder=folder)
