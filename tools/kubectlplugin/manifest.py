"""Writes the plugin's manifest for krew: `python -m kubectlplugin.manifest FOLDER URL`.

FOLDER contains the archives of all platforms, and gets `statefulroute.yaml`; URL is where they will be downloaded from.
"""

import argparse
import hashlib
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml

from kubectlplugin.build import PROGRAM, archive_name, program_file

PLATFORMS = (
    ("linux", "amd64"),
    ("linux", "arm64"),
    ("darwin", "amd64"),
    ("darwin", "arm64"),
    ("windows", "amd64"),
)

_DESCRIPTION = """\
Shows the services, pods and users of StatefulRoute, finds the pod of a user, moves users, drains pods, and finds
problems and how to fix them. The operator must be installed in the cluster.
"""


def manifest(project: dict[str, Any], folder: Path, url: str) -> dict[str, Any]:
    """Returns the manifest of a release.

    Args:
        project: The table `project` of pyproject.toml.
        folder: The folder with the archives.
        url: The address of the archives, without their names.

    Raises:
        FileNotFoundError: there is no archive for a platform.
    """
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "statefulroute"},
        "spec": {
            "version": f"v{project['version']}",
            "homepage": project["urls"]["Documentation"],
            "shortDescription": "Show and change which pod serves which user",
            "description": _DESCRIPTION,
            "platforms": [
                {
                    "selector": {"matchLabels": {"os": system, "arch": architecture}},
                    "uri": f"{url}/{archive.name}",
                    "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
                    "bin": f"{PROGRAM}/{program_file(PROGRAM, system)}",
                }
                for system, architecture in PLATFORMS
                for archive in [folder / archive_name(project["version"], system, architecture)]
            ],
        },
    }


def main() -> None:
    """Writes the manifest."""
    parser = argparse.ArgumentParser(prog="python -m kubectlplugin.manifest", description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder with the archives")
    parser.add_argument("url", help="where the archives will be downloaded from, without their names")
    options = parser.parse_args()
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    try:
        written = manifest(project, options.folder, options.url)
    except FileNotFoundError as missing:
        sys.exit(f"kubectlplugin: there is no {missing.filename}")
    (options.folder / "statefulroute.yaml").write_text(yaml.safe_dump(written, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    main()
