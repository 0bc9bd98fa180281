"""The kustomize base: what the chart renders by default, in files of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from helmchart.files import CHART
from helmchart.helm import render
from helmchart.text import yaml_text

BASE = Path("deploy/kustomize")
NAMESPACE = "statefulroute-system"

_HEADER = "# Rendered from charts/statefulroute by `make generate`. Do not edit.\n"

#: Labels and annotations that are true only where Helm has installed the object.
_HELM_METADATA = ("helm.sh/", "app.kubernetes.io/managed-by")

#: What is for the whole cluster, and what is for the operator: a cluster's administrator may want to apply them apart.
_FILES = {
    "CustomResourceDefinition": "definitions.yaml",
    "ValidatingAdmissionPolicy": "admission.yaml",
    "ValidatingAdmissionPolicyBinding": "admission.yaml",
}
_DEFAULT_FILE = "operator.yaml"


def kustomize_files(root: Path, helm: Path) -> Iterator[tuple[Path, str]]:
    """Every generated file of the base: its path below the repository's root, and its text."""
    files: dict[str, list[dict[str, Any]]] = {}
    for item in yaml.safe_load_all(render(helm, root / CHART, "statefulroute", NAMESPACE, "--no-hooks")):
        files.setdefault(_FILES.get(item["kind"], _DEFAULT_FILE), []).append(_without_helm(item))
    for name, items in sorted(files.items()):
        yield BASE / name, _HEADER + yaml_text(*items)


def _without_helm(value: Any) -> Any:  # noqa: ANN401 - JSON
    """The same without what is true only of objects that Helm has installed."""
    if isinstance(value, list):
        return [_without_helm(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _without_helm(each) for key, each in value.items() if not key.startswith(_HELM_METADATA)}
    return {key: each for key, each in kept.items() if key != "annotations" or each}
