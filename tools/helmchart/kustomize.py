"""Generates the kustomize base: what the chart renders by default, in separate files."""

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

#: Labels and annotations that apply only to objects that Helm installed.
_HELM_METADATA = ("helm.sh/", "app.kubernetes.io/managed-by")

#: The files by kind, cluster-wide objects apart from the operator's: a cluster administrator may apply them separately.
_FILES = {
    "CustomResourceDefinition": "definitions.yaml",
    "ValidatingAdmissionPolicy": "admission.yaml",
    "ValidatingAdmissionPolicyBinding": "admission.yaml",
}
_DEFAULT_FILE = "operator.yaml"


def kustomize_files(root: Path, helm: Path) -> Iterator[tuple[Path, str]]:
    """Yields every generated file of the base: its path in the repository, and its text."""
    files: dict[str, list[dict[str, Any]]] = {}
    for item in yaml.safe_load_all(render(helm, root / CHART, "statefulroute", NAMESPACE, "--no-hooks")):
        files.setdefault(_FILES.get(item["kind"], _DEFAULT_FILE), []).append(_without_helm(item))
    for name, items in sorted(files.items()):
        yield BASE / name, _HEADER + yaml_text(*items)


def _without_helm(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Removes what applies only to objects that Helm installed."""
    if isinstance(value, list):
        return [_without_helm(item) for item in value]
    if not isinstance(value, dict):
        return value
    fields = {key: _without_helm(item) for key, item in value.items() if not key.startswith(_HELM_METADATA)}
    return {key: item for key, item in fields.items() if key != "annotations" or item}
