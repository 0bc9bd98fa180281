"""The program of the previous release, built from its commit."""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from chart.releases import ROOT, previous_chart, previous_commit
from localcluster import images
from localcluster.images import Builder, ImageBuild
from localcluster.progress import Progress

VERSION = previous_chart().stem.removeprefix("statefulroute-")
REPOSITORY = "statefulroute-previous"


def build_previous_image(folder: Path, progress: Progress) -> Path:
    """Builds the image of the previous release with its own Dockerfile and locked packages; returns its archive.

    Skips the test if this clone has no such commit.
    """
    source, tag = folder / "source", f"{REPOSITORY}:{VERSION}"
    _check_out(previous_commit(), source)
    base = images.debian_base(Builder.BUILDAH, progress)
    build = ImageBuild(source, source / "Dockerfile", tag, {"BASE_IMAGE": base, "VERSION": VERSION})
    images.build(Builder.BUILDAH, build, progress)
    archive = folder / f"{REPOSITORY}.tar"
    images.save(Builder.BUILDAH, tag, archive)
    return archive


def _check_out(commit: str, folder: Path) -> None:
    """Writes the files of a commit into a folder."""
    command = ("git", "-C", str(ROOT), "archive", "--format=tar", commit)
    archived = subprocess.run(command, capture_output=True, check=False)
    if archived.returncode:
        pytest.skip(f"This clone lacks {commit}, the commit of {VERSION}: `git fetch --unshallow` gets it.")
    with tarfile.open(fileobj=BytesIO(archived.stdout)) as tree:
        tree.extractall(folder, filter="data")
