"""Builds container images with the builder that the machine has: Docker, Podman or Buildah.

Where no registry of images can be reached, the base image is made from Debian's packages (`debian_base`).
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from localcluster.errors import LocalClusterError
from localcluster.locks import exclusive
from localcluster.paths import cache_folder
from localcluster.progress import Progress
from localcluster.toolchain import run_with_progress

#: Its Python is that of the Dockerfile's default base image.
DEBIAN = "trixie"
DEBIAN_PACKAGES = ("ca-certificates", "libstdc++6", "python3", "python3-venv")  # gRPC needs the second
DEBIAN_BASE = f"localhost/python:{DEBIAN}-{sha256(' '.join(DEBIAN_PACKAGES).encode()).hexdigest()[:8]}"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Builder(StrEnum):
    """The programs that build images, in the order in which they are looked for."""

    DOCKER = "docker"
    PODMAN = "podman"
    BUILDAH = "buildah"


@dataclass(frozen=True, slots=True)
class ImageBuild:
    """What is to be built.

    Attributes:
        context: The folder that the Dockerfile copies from.
        dockerfile: The Dockerfile.
        tag: The image's name and tag.
        arguments: The build's arguments, such as `BASE_IMAGE`.
    """

    context: Path
    dockerfile: Path
    tag: str
    arguments: Mapping[str, str] = field(default_factory=dict)


def find_builder() -> Builder:
    """The first builder that answers.

    Raises:
        LocalClusterError: There is none.
    """
    found = next(filter(_is_available, Builder), None)
    if found is None:
        raise LocalClusterError(
            "Building an image needs Docker (running), Podman or Buildah, and none is here: install one of them "
            "(Debian: `apt-get install buildah`)."
        )
    return found


def build(builder: Builder, image: ImageBuild, progress: Progress) -> None:
    """Build an image; layers that have not changed are taken from the last build.

    The authorities of SSL_CERT_FILE, where it is set, are those of the build's downloads, too.

    Raises:
        LocalClusterError: It cannot be built; the message has the builder's last words.
    """
    arguments = [f"--build-arg={name}={value}" for name, value in image.arguments.items()]
    names = ["--file", str(image.dockerfile), "--tag", image.tag]
    command = [builder, "build", *_options(builder), *_certificate_secret(), *arguments, *names, str(image.context)]
    failure = run_with_progress(command, f"Building the image {image.tag} with {builder}", progress)
    if failure is not None:
        raise LocalClusterError(f"{image.tag} could not be built with {builder}: see the message below.\n{failure}")


def save(builder: Builder, tag: str, archive: Path) -> None:
    """Write an image into an archive that containerd, Docker and Podman import under the name that pods give it.

    Raises:
        LocalClusterError: There is no such image.
    """
    archive.unlink(missing_ok=True)
    if builder is Builder.DOCKER:
        command = [builder, "save", "--output", str(archive), tag]
    else:  # by the name in the archive, and not by their own, which begins with `localhost/`
        command = [builder, "push", "--quiet", tag, f"docker-archive:{archive}:{tag}"]
    _run(command)


def debian_base(builder: Builder, progress: Progress) -> str:
    """The name of a base image from Debian's packages, made by mmdebstrap unless it is there already.

    Raises:
        LocalClusterError: It cannot be made.
    """
    lock = cache_folder() / "base-image.lock"
    with exclusive(lock, lambda waited: progress.tick("Waiting for another build of the base image", waited)):
        if not _has_image(builder, DEBIAN_BASE):
            _make_debian_base(builder, progress)
    return DEBIAN_BASE


def _make_debian_base(builder: Builder, progress: Progress) -> None:
    if shutil.which("mmdebstrap") is None:
        raise LocalClusterError("A base image from Debian's packages needs mmdebstrap: `apt-get install mmdebstrap`.")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree.tar"
        packages = f"--include={','.join(DEBIAN_PACKAGES)}"
        failure = run_with_progress(
            ["mmdebstrap", "--quiet", "--variant=essential", packages, DEBIAN, tree],
            f"Making a base image from Debian {DEBIAN}",
            progress,
        )
        if failure is not None:
            raise LocalClusterError(
                f"mmdebstrap could not make Debian {DEBIAN}: check that Debian's packages can be reached.\n{failure}"
            )
        _import(builder, tree)


def _import(builder: Builder, tree: Path) -> None:
    """Make an image of a file system's tree."""
    if builder is not Builder.BUILDAH:
        _run([builder, "import", f"--change=ENV PATH={DEFAULT_PATH}", str(tree), DEBIAN_BASE])
        return
    container = _run([builder, "from", "scratch"]).strip()
    try:
        _run([builder, "add", "--quiet", container, str(tree), "/"])
        _run([builder, "config", "--env", f"PATH={DEFAULT_PATH}", container])
        _run([builder, "commit", "--quiet", container, DEBIAN_BASE])
    finally:
        _run([builder, "rm", container])


def _options(builder: Builder) -> Sequence[str]:
    """What makes a builder keep layers, and need no rights but root's."""
    if builder is Builder.BUILDAH:
        return ("--layers", "--isolation=chroot", "--network=host", "--pull=missing")
    return ()


def _certificate_secret() -> Sequence[str]:
    bundle = os.environ.get("SSL_CERT_FILE")
    return ("--secret", f"id=ca-certificates,src={bundle}") if bundle else ()


def _is_available(builder: Builder) -> bool:
    return shutil.which(builder) is not None and not _call([builder, "info"]).returncode


def _has_image(builder: Builder, image: str) -> bool:
    return bool(_run([builder, "images", "--quiet", "--filter", f"reference={image}"]).strip())


def _run(command: Sequence[str]) -> str:
    done = _call(command)
    if done.returncode:
        raise LocalClusterError(f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _call(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
