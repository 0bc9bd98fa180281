"""Packs the chart: `python -m helmchart.packing DESTINATION [--image-repository REPOSITORY]`.

The image's repository differs between registries, so it is set when the chart is released.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from helmchart.files import CHART
from helmchart.helm import pack
from helmchart.programs import helm4
from helmchart.values import Values
from localcluster.errors import LocalClusterError
from localcluster.progress import PlainProgress

_DEFAULT_REPOSITORY = Values().image.repository


def pack_with_image(root: Path, helm: Path, destination: Path, repository: str) -> Path:
    """Packs the chart with another default of `image.repository`; returns the archive."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / CHART.name
        shutil.copytree(root / CHART, copy)
        _replace(copy / "values.yaml", f"  repository: {_DEFAULT_REPOSITORY}\n", f"  repository: {repository}\n")
        _replace(copy / "Chart.yaml", f"image: {_DEFAULT_REPOSITORY}:", f"image: {repository}:")
        return pack(helm, copy, destination)


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise LocalClusterError(f"{file.name} must contain {old.strip()!r} once: run `make generate`.")
    file.write_text(text.replace(old, new), encoding="utf-8")


def main() -> None:
    """Packs the chart, and prints the path of the archive."""
    parser = argparse.ArgumentParser(prog="python -m helmchart.packing", description=__doc__)
    parser.add_argument("destination", type=Path, help="the folder of the archive")
    parser.add_argument(
        "--image-repository", default=_DEFAULT_REPOSITORY, help="the repository of the image, without a tag"
    )
    options = parser.parse_args()
    try:
        print(pack_with_image(Path.cwd(), helm4(PlainProgress()), options.destination, options.image_repository))
    except LocalClusterError as error:
        sys.exit(f"helmchart: {error}")


if __name__ == "__main__":
    main()
