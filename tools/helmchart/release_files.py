"""Writes the files of a release on GitHub: `python -m helmchart.release_files DESTINATION --image IMAGE`.

install.yaml        the operator without Helm, with the released image
crds.yaml           its CustomResourceDefinitions
release-notes.md    the section of this version in CHANGELOG.md
"""

import argparse
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from helmchart.changelog import notes
from helmchart.kustomize import BASE
from localcluster.errors import LocalClusterError
from localcluster.kubectl import candidates


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a module that writes files of a release.

    Attributes:
        destination: the folder of the files.
        image: the image of the operator.
    """

    destination: Path
    image: str


def with_image(manifests: str, version: str, image: str) -> str:
    """Returns manifests with this image instead of the one of a local build.

    Raises:
        LocalClusterError: no container runs that one.
    """
    local = f"image: statefulroute:{version}\n"
    if local not in manifests:
        raise LocalClusterError(f"{BASE} must contain {local.strip()!r}: run `make generate`.")
    return manifests.replace(local, f"image: {image}\n")


def install_manifests(root: Path, version: str, image: str) -> str:
    """Returns the manifests of the operator without Helm.

    Args:
        root: The repository's root.
        version: The version of the project.
        image: The image of the operator.
    """
    manifests = subprocess.run(
        [next(iter(candidates())), "kustomize", root / BASE], capture_output=True, text=True, check=True
    ).stdout
    return with_image(manifests, version, image)


def write_files(root: Path, destination: Path, image: str) -> None:
    """Writes the files of the release of this version."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version, changelog = project["version"], (root / "CHANGELOG.md").read_text(encoding="utf-8")
    files = {
        "install.yaml": install_manifests(root, version, image),
        "crds.yaml": (root / BASE / "definitions.yaml").read_text(encoding="utf-8"),
        "release-notes.md": notes(changelog, version, project["urls"]["Source"]),
    }
    destination.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (destination / name).write_text(text, encoding="utf-8")


def parse_options(program: str, description: str | None) -> Options:
    """Parses the command line of a module that writes files of a release; ends the process if it is invalid.

    Args:
        program: The module.
        description: What it writes.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("destination", type=Path, help="the folder of the files")
    parser.add_argument("--image", required=True, help="the image, such as registry.example/statefulroute:1.2.3")
    return Options(**vars(parser.parse_args()))


def main() -> None:
    """Writes the files."""
    options = parse_options("helmchart.release_files", __doc__)
    try:
        write_files(Path.cwd(), options.destination, options.image)
    except LocalClusterError as error:
        sys.exit(f"helmchart: {error}")


if __name__ == "__main__":
    main()
