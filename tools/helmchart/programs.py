"""The programs that the chart is rendered, tried and checked with, kept in the user's cache folder.

`python -m helmchart.programs [NAME...]` gets them and prints where they are.
"""

import argparse
import io
import platform
import re
import sys
import tarfile
import zipfile
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.modules import download_modules
from localcluster.programs import Recipe, ensure_built
from localcluster.progress import PlainProgress, Progress
from localcluster.pypi_programs import pypi_program
from localcluster.toolchain import find_go

MODULES = Path(__file__).parents[1] / "programs"
REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "helm.txt"

#: Where the PyPI package has Helm: in an archive of an archive.
ARCHIVE, LAYER, HELM = "**/_jsii/*.tgz", "package/lib/layer.zip", "helm/helm"
#: What that Helm runs on.
PACKAGE_PLATFORM = ("linux", "x86_64")

MONITORING = "github.com/prometheus-operator/prometheus-operator"


def helm4(progress: Progress) -> Path:
    """Helm 4: PyPI's where it runs, else built from source."""
    if (sys.platform, platform.machine()) == PACKAGE_PLATFORM:
        return pypi_program("helm4", "Helm 4", REQUIREMENTS, _extract_helm, "check that PyPI can be reached", progress)
    return _build("helm4", "helm.sh/helm/v4/cmd/helm", progress)


def helm3(progress: Progress) -> Path:
    """Helm 3, built from source: as its own Makefile does, it is told which Kubernetes it is made for."""
    client = re.search(r"k8s\.io/client-go v0\.(\d+)", (MODULES / "helm3" / "go.mod").read_text(encoding="utf-8"))
    helm = re.search(r"helm\.sh/helm/v3 (v\S+)", (MODULES / "helm3" / "go.mod").read_text(encoding="utf-8"))
    if client is None or helm is None:
        raise LocalClusterError("programs/helm3/go.mod does not say which Helm it is, and for which Kubernetes.")
    stamps = [f"-X helm.sh/helm/v3/internal/version.version={helm[1]}"]
    for package in ("pkg/chartutil", "pkg/lint/rules"):
        stamps.append(f"-X helm.sh/helm/v3/{package}.k8sVersionMajor=1")
        stamps.append(f"-X helm.sh/helm/v3/{package}.k8sVersionMinor={client[1]}")
    return _build("helm3", "helm.sh/helm/v3/cmd/helm", progress, *stamps)


def actionlint(progress: Progress) -> Path:
    """The judge of workflows."""
    return _build("actionlint", "github.com/rhysd/actionlint/cmd/actionlint", progress)


def monitoring_definitions(progress: Progress) -> Path:
    """The folder of the definitions of ServiceMonitor, PodMonitor and PrometheusRule, as their Go module has them."""
    folder = download_modules([MONITORING], MODULES / "prometheus-operator", progress)[MONITORING]
    return folder / "example" / "prometheus-operator-crd"


def _build(name: str, package: str, progress: Progress, *stamps: str) -> Path:
    recipe = Recipe(name, MODULES / name, package, " ".join(("-s", "-w", *stamps)))
    return ensure_built(recipe, find_go(progress), progress)


def _extract_helm(package: Path, program: Path) -> None:
    (archive,) = package.glob(ARCHIVE)
    with tarfile.open(archive) as outer:
        layer = outer.extractfile(LAYER)
        if layer is None:
            raise LocalClusterError(f"{archive.name} has no {LAYER}: this version of the package is another one.")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            program.write_bytes(inner.read(HELM))
    program.chmod(0o755)


#: What `main` gets, by name.
PROGRAMS = {"helm4": helm4, "helm3": helm3, "actionlint": actionlint, "monitoring-definitions": monitoring_definitions}


def main() -> None:
    """Get programs, and print where they are."""
    parser = argparse.ArgumentParser(prog="python -m helmchart.programs", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(PROGRAMS)}; without one, all of them")
    names = parser.parse_args().names or [*PROGRAMS]
    if unknown := [name for name in names if name not in PROGRAMS]:
        parser.error(f"there is no {unknown[0]}; there are {', '.join(PROGRAMS)}")
    progress = PlainProgress(lambda line: print(line, file=sys.stderr))
    try:
        for name in names:
            print(PROGRAMS[name](progress))
    except LocalClusterError as error:
        sys.exit(f"helmchart: {error}")


if __name__ == "__main__":
    main()
