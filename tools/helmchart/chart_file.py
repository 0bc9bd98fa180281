"""Generates Chart.yaml, the metadata of a chart for Helm and Artifact Hub.

There is no `artifacthub.io/signKey`: it names a PGP key, and charts are signed without a key by cosign, which Artifact
Hub finds in the registry.
"""

import tomllib
from pathlib import Path
from typing import Any

from helmchart.catalogue import CAPABILITIES, EXAMPLES, PLATFORMS, keywords, kinds, links
from helmchart.changelog import changes, notes
from helmchart.text import HEADER, plain, yaml_text
from helmchart.values import Values
from release.version import is_prerelease

#: The first version with selectable fields of custom resources; policies are served since the version before.
OLDEST_KUBERNETES = "1.31"


def chart_file(root: Path) -> str:
    """Returns the text of the file; versions and description are the project's.

    Args:
        root: The repository's root.
    """
    project = _project(root)
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    image = {
        "name": "statefulroute",
        "image": f"{Values().image.repository}:{project['version']}",
        "platforms": list(PLATFORMS),
    }
    annotations = {
        "artifacthub.io/operator": "true",
        "artifacthub.io/operatorCapabilities": CAPABILITIES,
        "artifacthub.io/images": yaml_text([image]),
        "artifacthub.io/crds": yaml_text(kinds()),
        "artifacthub.io/crdsExamples": yaml_text(plain(EXAMPLES)),
        "artifacthub.io/changes": yaml_text(changes(notes(changelog, project["version"], project["urls"]["Source"]))),
    }
    return _metadata(project, "statefulroute", project["description"], annotations)


def crds_chart_file(root: Path) -> str:
    """Returns the text of the file of the chart of the CRDs.

    Args:
        root: The repository's root.
    """
    return _metadata(_project(root), "statefulroute-crds", "The CustomResourceDefinitions of StatefulRoute", {})


def _project(root: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def _metadata(project: dict[str, Any], name: str, description: str, annotations: dict[str, str]) -> str:
    return HEADER + yaml_text(
        {
            "apiVersion": "v2",
            "name": name,
            "description": description,
            "type": "application",
            "version": project["version"],
            "appVersion": project["version"],
            "kubeVersion": f">={OLDEST_KUBERNETES}.0-0",
            "home": project["urls"]["Documentation"],
            "icon": f"{project['urls']['Documentation']}latest/images/icon.svg",
            "sources": [project["urls"]["Source"]],
            "maintainers": [{"name": author["name"]} for author in project["authors"]],
            "keywords": keywords(project),
            "annotations": {
                "artifacthub.io/category": "networking",
                "artifacthub.io/license": project["license"],
                "artifacthub.io/links": yaml_text(links(project)),
                **({"artifacthub.io/prerelease": "true"} if is_prerelease(project["version"]) else {}),
                **annotations,
            },
        }
    )
