"""Packs both charts: `python -m helmchart.packing DESTINATION --version VERSION`.

Options: `--image-repository REPOSITORY` and `--image-digest DIGEST`. The image's repository differs between registries,
and its digest is known when it is pushed, so both are set when the chart is released. So is the version, which is not
the project's if a commit is published and not a release.
"""

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from helmchart.files import CHART, CRDS_CHART
from helmchart.helm import pack
from helmchart.programs import helm4
from helmchart.values import Values
from localcluster.errors import LocalClusterError
from localcluster.progress import PlainProgress

_DEFAULT_REPOSITORY = Values().image.repository


@dataclass(frozen=True, slots=True)
class Publication:
    """What a chart is published with.

    Attributes:
        version: the version of the chart and of the program.
        repository: the repository of the image, without a tag.
        digest: the digest of the image (`sha256:...`), or nothing if the chart refers to the tag of its version.
    """

    version: str
    repository: str
    digest: str


def pack_operator(root: Path, helm: Path, destination: Path, publication: Publication) -> Path:
    """Packs the chart of the operator with this image as the default of its values; returns the archive."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / CHART.name
        shutil.copytree(root / CHART, copy)
        chart = yaml.safe_load((copy / "Chart.yaml").read_text(encoding="utf-8"))
        tag, new_tag = f":{chart['appVersion']}\n", f":{publication.version}\n"
        for file, old, new in (
            ("values.yaml", f"  repository: {_DEFAULT_REPOSITORY}\n", f"  repository: {publication.repository}\n"),
            ("values.yaml", "  digest: ''\n", f"  digest: '{publication.digest}'\n"),
            ("Chart.yaml", f"image: {_DEFAULT_REPOSITORY}{tag}", f"image: {publication.repository}{new_tag}"),
        ):
            _replace(copy / file, old, new)
        return pack(helm, copy, destination, publication.version)


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise LocalClusterError(f"{file.name} must contain {old.strip()!r} once: run `make generate`.")
    file.write_text(text.replace(old, new), encoding="utf-8")


def main() -> None:
    """Packs both charts, and prints the paths of the archives."""
    parser = argparse.ArgumentParser(prog="python -m helmchart.packing", description=__doc__)
    parser.add_argument("destination", type=Path, help="the folder of the archives")
    parser.add_argument(
        "--image-repository", default=_DEFAULT_REPOSITORY, help="the repository of the image, without a tag"
    )
    parser.add_argument("--image-digest", default="", help="the digest of the image (sha256:...)")
    parser.add_argument("--version", required=True, help="the version of both charts")
    options = parser.parse_args()
    try:
        helm = helm4(PlainProgress())
        publication = Publication(options.version, options.image_repository, options.image_digest)
        print(pack_operator(Path.cwd(), helm, options.destination, publication))
        print(pack(helm, Path.cwd() / CRDS_CHART, options.destination, options.version))
    except LocalClusterError as error:
        sys.exit(f"helmchart: {error}")


if __name__ == "__main__":
    main()
