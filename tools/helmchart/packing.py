"""Packs both charts: `python -m helmchart.packing DESTINATION [--image-repository REPOSITORY] [--image-digest DIGEST]`.

The image's repository differs between registries, and its digest is known when it is pushed, so both are set when the
chart is released.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from helmchart.files import CHART, CRDS_CHART
from helmchart.helm import pack
from helmchart.programs import helm4
from helmchart.values import Values
from localcluster.errors import LocalClusterError
from localcluster.progress import PlainProgress

_DEFAULT_REPOSITORY = Values().image.repository


def pack_with_image(root: Path, helm: Path, destination: Path, repository: str, digest: str = "") -> Path:
    """Packs the chart with other defaults of `image.repository` and `image.digest`; returns the archive."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / CHART.name
        shutil.copytree(root / CHART, copy)
        _replace(copy / "values.yaml", f"  repository: {_DEFAULT_REPOSITORY}\n", f"  repository: {repository}\n")
        _replace(copy / "values.yaml", "  digest: ''\n", f"  digest: '{digest}'\n")
        _replace(copy / "Chart.yaml", f"image: {_DEFAULT_REPOSITORY}:", f"image: {repository}:")
        return pack(helm, copy, destination)


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
    options = parser.parse_args()
    try:
        helm = helm4(PlainProgress())
        image = options.image_repository, options.image_digest
        print(pack_with_image(Path.cwd(), helm, options.destination, *image))
        print(pack(helm, Path.cwd() / CRDS_CHART, options.destination))
    except LocalClusterError as error:
        sys.exit(f"helmchart: {error}")


if __name__ == "__main__":
    main()
