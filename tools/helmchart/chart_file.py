"""Generates Chart.yaml, the chart's metadata for Helm and Artifact Hub."""

import tomllib
from pathlib import Path
from typing import Any

from helmchart.text import HEADER, plain, yaml_text
from helmchart.values import Values
from statefulroute.api.group import API_VERSION, POD_LINK, STATEFUL_ROUTE, VERSION
from statefulroute.api.podlink import PodLink
from statefulroute.api.statefulroute import StatefulRoute

#: The first version with selectable fields of custom resources; policies are served since the version before.
OLDEST_KUBERNETES = "1.31"

_EXAMPLES = [
    {
        "apiVersion": API_VERSION,
        "kind": STATEFUL_ROUTE.kind,
        "metadata": {"name": "game", "namespace": "play"},
        "spec": {"workloadRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "game"}},
    },
    {
        "apiVersion": API_VERSION,
        "kind": POD_LINK.kind,
        "metadata": {"name": "game.alice", "namespace": "play"},
        "spec": {"routeName": "game", "uid": "alice"},
    },
]


def chart_file(root: Path) -> str:
    """Returns the text of the file; versions and description are the project's.

    Args:
        root: The repository's root.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return HEADER + yaml_text(
        {
            "apiVersion": "v2",
            "name": "statefulroute",
            "description": project["description"],
            "type": "application",
            "version": project["version"],
            "appVersion": project["version"],
            "kubeVersion": f">={OLDEST_KUBERNETES}.0-0",
            "keywords": [word for word in project["keywords"] if word != "kopf"],
            "annotations": _annotations(project),
        }
    )


def _annotations(project: dict[str, Any]) -> dict[str, str]:
    image = f"{Values().image.repository}:{project['version']}"
    return {
        "artifacthub.io/category": "networking",
        "artifacthub.io/license": project["license"],
        "artifacthub.io/operator": "true",
        "artifacthub.io/operatorCapabilities": "Deep Insights",
        "artifacthub.io/images": yaml_text([{"name": "statefulroute", "image": image}]),
        "artifacthub.io/crds": yaml_text([_kind(model) for model in (PodLink, StatefulRoute)]),
        "artifacthub.io/crdsExamples": yaml_text(plain(_EXAMPLES)),
    }


def _kind(model: type[PodLink | StatefulRoute]) -> dict[str, str]:
    summary = (model.__doc__ or "").partition("\n\n")[0]
    return {
        "kind": model.names.kind,
        "version": VERSION,
        "name": model.names.crd_name,
        "displayName": model.names.kind,
        "description": " ".join(summary.split()),
    }
