"""Provides programs of Debian packages to tests: unpacks them into the user's cache without installing them."""

import os
import shutil
import subprocess
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.locks import exclusive
from localcluster.paths import cache_folder
from localcluster.progress import Progress
from localcluster.toolchain import run_with_progress


def debian_program(name: str, package: str, progress: Progress, *, with_libraries: bool = False) -> Path:
    """Returns a program: that of the machine, or that of a Debian package.

    It needs no privileges, and no service is started.

    Args:
        name: The program's name.
        package: The package that contains it in `/usr/bin` or `/usr/sbin`.
        progress: Reports the progress.
        with_libraries: Whether the libraries that the package depends on are downloaded, too, if the system lacks them.

    Raises:
        LocalClusterError: It is not installed and cannot be downloaded.
    """
    if (program_on_path := shutil.which(name)) is not None:
        return Path(program_on_path)
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise LocalClusterError(f"There is no {name} on PATH: install it; Debian has it in the package {package}.")
    folder = cache_folder() / "packages" / package
    lock = folder.with_name(f"{package}.lock")
    with exclusive(lock, lambda waited: progress.tick(f"Waiting for another download of {package}", waited)):
        program = _program_in(folder, name)
        if program is None:
            _unpack(package, folder, progress, with_libraries=with_libraries)
            program = _program_in(folder, name)
    if program is None:
        raise LocalClusterError(f"Debian's package {package} does not contain {name}: install it and put it on PATH.")
    return _script_with_libraries(program, folder) if with_libraries else program


def _program_in(folder: Path, name: str) -> Path | None:
    programs = (folder / "usr" / directory / name for directory in ("bin", "sbin"))
    return next((program for program in programs if program.exists()), None)


def _script_with_libraries(program: Path, folder: Path) -> Path:
    """Returns a script that runs the program with the libraries in the folder."""
    script = folder / program.name
    if not script.exists():
        libraries = sorted({str(file.parent) for file in (folder / "usr" / "lib").rglob("*.so*")})
        partial = script.with_name(f"{script.name}.{os.getpid()}")
        partial.write_text(f'#!/bin/sh\nexport LD_LIBRARY_PATH="{":".join(libraries)}"\nexec "{program}" "$@"\n')
        partial.chmod(0o755)
        partial.replace(script)
    return script


def _missing_libraries(package: str) -> list[str]:
    """Returns the packages of the libraries that a package depends on and that are not installed."""
    kinds = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
    command = ["apt-cache", "depends", "--recurse", *(f"--no-{kind}" for kind in kinds), package]
    depends = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    command = ["dpkg-query", "--show", "--showformat=${Package}\\n"]
    installed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return sorted({name for name in depends if name.startswith("lib") and ":" not in name} - set(installed))


def _unpack(package: str, folder: Path, progress: Progress, *, with_libraries: bool) -> None:
    partial = folder.with_name(f"{package}.new")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    failure = _download(package, partial, progress, with_libraries=with_libraries)
    if failure is not None and os.geteuid() == 0:  # the package lists of a new machine are empty or old
        run_with_progress(["apt-get", "update"], "Updating the lists of Debian's packages", progress)
        failure = _download(package, partial, progress, with_libraries=with_libraries)
    if failure is not None:
        raise LocalClusterError(f"`apt-get download {package}` failed: see the message below.\n{failure}")
    for archive in partial.glob("*.deb"):
        completed = subprocess.run(
            ["dpkg-deb", "--extract", archive, partial],  # noqa: S607 - it was found on PATH
            capture_output=True,
            text=True,
            check=False,
        )
        if completed.returncode:
            raise LocalClusterError(f"{archive.name} cannot be unpacked: {completed.stderr.strip()}")
        archive.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def _download(package: str, folder: Path, progress: Progress, *, with_libraries: bool) -> str | None:
    packages = [package, *(_missing_libraries(package) if with_libraries else ())]
    return run_with_progress(["apt-get", "download", *packages], f"Downloading {package}", progress, folder=folder)
