"""An image whose processes run from its unpacked files, in place of those of the tests."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from localcluster import images
from localcluster.images import Builder, ImageBuild, Platform
from localcluster.paths import cache_folder
from localcluster.progress import PlainProgress
from node.images import ROOT, VERSION
from node.test_image import unpack
from support import operator_process, resolver_process, sidecar_process

#: Found here, because the processes of the image have another PATH.
CHROOT = shutil.which("chroot") or "chroot"

#: Compiling gRPC takes most of it.
BUILD_SECONDS = 3 * 3600

#: Runs a program of the image with the devices and processes of the machine, and folders of the tests.
WRAPPER = """\
#!/bin/sh
exec unshare --mount --propagation private sh -ec '
for folder in /dev /proc /tmp {folders}; do
  mkdir -p "{root}$folder"
  mount --rbind "$folder" "{root}$folder"
done
exec chroot "{root}" /opt/statefulroute/bin/{program} "$@"
' {program} "$@"
"""


def missing_program() -> str | None:
    """Returns why this machine cannot build and run an image; None: it can."""
    for program in ("buildah", "mmdebstrap", "unshare"):
        if shutil.which(program) is None or os.geteuid():
            return f"An image is built with {program}, as root: `make node-packages` installs it."
    return None


@contextmanager
def unpacked_image(folder: Path, arguments: Mapping[str, str], platform: Platform | None = None) -> Iterator[Path]:
    """Builds an image, and yields the folder with its files, which is deleted at the end.

    STATEFULROUTE_BUILD_CONTEXTS names folders that replace stages of the Dockerfile, as in `make image`.

    Args:
        folder: A folder for the archive.
        arguments: Build arguments besides the base images and the version.
        platform: The platform of the image; None: that of this machine.
    """
    progress = PlainProgress()
    bases = {"BASE_IMAGE": images.debian_base(Builder.BUILDAH, progress, platform)}
    if platform:
        bases["COMPILER_IMAGE"] = images.debian_base(Builder.BUILDAH, progress)
    given = os.environ.get("STATEFULROUTE_BUILD_CONTEXTS", "").split()
    contexts = dict(each.split("=", 1) for each in given)
    tag = f"statefulroute:{VERSION}-{folder.name}"
    build = ImageBuild(ROOT, ROOT / "Dockerfile", tag, {**bases, "VERSION": VERSION, **arguments}, platform, contexts)
    images.build(Builder.BUILDAH, build, progress)
    images.save(Builder.BUILDAH, tag, folder / "image.tar")
    # Elsewhere than the folders of the tests, which its processes see.
    root = cache_folder() / f"image-{os.getpid()}"
    unpack(folder / "image.tar", root)
    (folder / "image.tar").unlink()
    try:
        yield root
    finally:
        shutil.rmtree(root)


def write_program(file: Path, root: Path, folders: Sequence[Path]) -> None:
    """Writes a program that runs the one of its name in an unpacked image.

    Args:
        file: The program.
        root: The files of the image.
        folders: Folders that it sees besides /tmp.
    """
    content = WRAPPER.format(root=root, program=file.name, folders=" ".join(map(str, folders)))
    file.write_text(content, encoding="utf-8")
    file.chmod(0o755)


@contextmanager
def started_by_the_tests(program: Path) -> Iterator[None]:
    """Makes the tests start a program in place of their own `statefulroute`."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (operator_process, resolver_process, sidecar_process):
            patch.setattr(module, "PROGRAM", program)
        yield
