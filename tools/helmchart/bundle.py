"""Writes the bundle for the Operator Lifecycle Manager (OLM): `python -m helmchart.bundle DESTINATION --image IMAGE`.

bundle/              manifests and metadata, and the Dockerfile of their image
beside-bundle.yaml   the objects of kinds that OLM cannot install

The objects are those of install.yaml. A validator of OLM's authors checks the bundle.
"""

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from helmchart.changelog import release_date
from helmchart.cluster_service_version import Object, Release, cluster_service_version
from helmchart.programs import bundle_validator
from helmchart.release_files import install_manifests, parse_options
from helmchart.text import yaml_text
from localcluster.errors import LocalClusterError
from localcluster.progress import PlainProgress

PACKAGE = "statefulroute"

#: As long as the API is alpha, there are no stable releases.
CHANNEL = "candidate"

#: The kinds that OLM installs, of those that the chart can render (`supportedResources` of operator-registry).
SUPPORTED_KINDS = frozenset(
    {
        "ClusterRole",
        "ClusterRoleBinding",
        "ConfigMap",
        "CustomResourceDefinition",
        "PodDisruptionBudget",
        "PodMonitor",
        "PrometheusRule",
        "Role",
        "RoleBinding",
        "Secret",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
    }
)

#: The kinds that it cannot install, a NetworkPolicy only before 2025, and that the operator can do without.
KINDS_BESIDE = frozenset(
    {"FlowSchema", "Namespace", "NetworkPolicy", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
)

_ICON = Path("docs/images/icon.svg")

_METADATA = {
    "operators.operatorframework.io.bundle.mediatype.v1": "registry+v1",
    "operators.operatorframework.io.bundle.manifests.v1": "manifests/",
    "operators.operatorframework.io.bundle.metadata.v1": "metadata/",
    "operators.operatorframework.io.bundle.package.v1": PACKAGE,
    "operators.operatorframework.io.bundle.channels.v1": CHANNEL,
    "operators.operatorframework.io.bundle.channel.default.v1": CHANNEL,
}

_HEADER = "# Written by `make bundle` from charts/statefulroute.\n"


def write_bundle(root: Path, destination: Path, image: str) -> Path:
    """Writes the bundle and what is beside it into a folder, and returns the folder of the bundle.

    Args:
        root: the repository's root.
        destination: the folder; an earlier bundle in it is replaced.
        image: the image of the operator.

    Raises:
        LocalClusterError: the chart renders what a bundle cannot contain.
    """
    project: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    release = Release(project, release_date(changelog, project["version"]), image, (root / _ICON).read_bytes())
    objects = list(yaml.safe_load_all(install_manifests(root, project["version"], image)))
    version, rest = cluster_service_version(release, objects)
    beside = [item for item in rest if item["kind"] in KINDS_BESIDE]
    files = {
        "bundle.Dockerfile": _dockerfile(),
        "metadata/annotations.yaml": _HEADER + yaml_text({"annotations": _METADATA}),
        "manifests/statefulroute.clusterserviceversion.yaml": _HEADER + yaml_text(version),
    } | {_name(item): _HEADER + yaml_text(_without_namespace(item)) for item in rest if item not in beside}
    bundle = destination / "bundle"
    shutil.rmtree(bundle, ignore_errors=True)
    for name, text in files.items():
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / name).write_text(text, encoding="utf-8")
    (destination / "beside-bundle.yaml").write_text(_HEADER + yaml_text(*beside), encoding="utf-8")
    return bundle


def validate_bundle(bundle: Path, validator: Path) -> list[str]:
    """Returns the errors and warnings of OLM's validators for a bundle."""
    completed = subprocess.run([validator, bundle], capture_output=True, text=True, check=False)
    found = completed.stdout.splitlines()
    return found or ([f"the validator failed: {completed.stderr.strip()}"] if completed.returncode else [])


def _name(item: Object) -> str:
    """Returns the path of an object in the bundle.

    Raises:
        LocalClusterError: OLM cannot install it.
    """
    kind, name = item["kind"], item["metadata"]["name"]
    if kind not in SUPPORTED_KINDS:
        raise LocalClusterError(
            f"OLM cannot install {kind} {name}: if the operator can do without, add it to KINDS_BESIDE."
        )
    if item.get("subjects"):
        raise LocalClusterError(
            f"{kind} {name} binds an account whose namespace is known when the bundle is installed."
        )
    return f"manifests/{name}.{kind.lower()}.yaml"


def _without_namespace(item: Object) -> Object:
    """Returns an object without its namespace, which is chosen when the bundle is installed."""
    return item | {"metadata": {key: value for key, value in item["metadata"].items() if key != "namespace"}}


def _dockerfile() -> str:
    labels = "".join(f"LABEL {name}={value}\n" for name, value in _METADATA.items())
    return f"{_HEADER}FROM scratch\n\n{labels}\nCOPY manifests /manifests/\nCOPY metadata /metadata/\n"


def _report(complaints: Iterable[str]) -> None:
    for complaint in complaints:
        sys.stderr.write(f"{complaint}\n")


def main() -> None:
    """Writes and validates the bundle, and prints its folder."""
    options = parse_options("helmchart.bundle", __doc__)
    try:
        bundle = write_bundle(Path.cwd(), options.destination, options.image)
        complaints = validate_bundle(bundle, bundle_validator(PlainProgress()))
    except LocalClusterError as error:
        sys.exit(f"helmchart: {error}")
    if complaints:
        _report(complaints)
        sys.exit(1)
    print(bundle)


if __name__ == "__main__":
    main()
