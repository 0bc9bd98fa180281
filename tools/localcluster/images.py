"""Builds container images with the builder that the machine has: Docker, Podman or Buildah.

If no image registry is reachable, `debian_base` makes the base image from Debian's packages.
"""

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from image.wheels import PLATFORMS
from localcluster.errors import LocalClusterError
from localcluster.locks import exclusive
from localcluster.paths import cache_folder
from localcluster.progress import Progress
from localcluster.toolchain import run_with_progress

#: Its Python is that of the Dockerfile's default base image.
DEBIAN = "trixie"
#: gRPC needs libstdc++6. The last two are for images of other platforms, for which packages are compiled.
DEBIAN_PACKAGES = ("ca-certificates", "libstdc++6", "python3", "python3-venv", "apt", "libpython3-dev")
DEBIAN_BASE = f"localhost/python:{DEBIAN}-{sha256(' '.join(DEBIAN_PACKAGES).encode()).hexdigest()[:8]}"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_OTHER_BASE = (
    "If the base image cannot be pulled: `make image DEBIAN_BASE=1`, as root, makes it from Debian's packages."
)


class Builder(StrEnum):
    """The programs that build images, in the order in which they are tried."""

    DOCKER = "docker"
    PODMAN = "podman"
    BUILDAH = "buildah"


class Platform(StrEnum):
    """The platforms that the Dockerfile knows."""

    AMD64 = "linux/amd64"
    ARM64 = "linux/arm64"
    ARM_V7 = "linux/arm/v7"
    PPC64LE = "linux/ppc64le"
    S390X = "linux/s390x"

    @property
    def debian(self) -> str:
        """Debian's name of the architecture."""
        return PLATFORMS[self.split("/")[1]].debian


@dataclass(frozen=True, slots=True)
class ImageBuild:
    """An image to build.

    Attributes:
        context: The folder that the Dockerfile copies from.
        dockerfile: The Dockerfile.
        tag: The image's name and tag.
        arguments: The build arguments, such as `BASE_IMAGE`.
        platform: The platform that it is for; None: that of the builder.
        contexts: Folders that replace stages of the Dockerfile, by the names of the stages.
    """

    context: Path
    dockerfile: Path
    tag: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    contexts: Mapping[str, str] = field(default_factory=dict)


def find_builder() -> Builder:
    """Returns the first builder that works.

    Raises:
        LocalClusterError: None works.
    """
    builder = next(filter(_is_available, Builder), None)
    if builder is None:
        raise LocalClusterError(
            "Building an image needs Docker (running), Podman or Buildah, and none of them is installed: install one "
            "(Debian: `apt-get install buildah`)."
        )
    return builder


def build(builder: Builder, image: ImageBuild, progress: Progress) -> None:
    """Builds an image; unchanged layers come from the cache.

    If SSL_CERT_FILE is set, the build's downloads trust its certificates, too.

    Raises:
        LocalClusterError: The build fails; the message ends with the builder's output.
    """
    arguments = [f"--build-arg={name}={value}" for name, value in _arguments(builder, image).items()]
    arguments += [f"--build-context={name}={folder}" for name, folder in image.contexts.items()]
    names = ["--file", str(image.dockerfile), "--tag", image.tag]
    options = (*_options(builder), *_platform(image.platform), *_certificate_secret(), *arguments)
    command = [builder, "build", *options, *names, str(image.context)]
    failure = run_with_progress(command, f"Building the image {image.tag} with {builder}", progress)
    if failure is not None:
        base = "" if "BASE_IMAGE" in image.arguments else f" {_OTHER_BASE}"
        raise LocalClusterError(
            f"{image.tag} could not be built with {builder}: see the message below.{base}\n{failure}"
        )


def _arguments(builder: Builder, image: ImageBuild) -> Mapping[str, str]:
    """Returns the build arguments, with both platforms for old Buildahs and Podmans, which do not set them."""
    if image.platform is None or builder is Builder.DOCKER:
        return image.arguments
    machine = platform.machine()
    architecture = next((name for name, each in PLATFORMS.items() if each.python == machine), machine)
    return {"BUILDPLATFORM": f"linux/{architecture}", "TARGETPLATFORM": image.platform, **image.arguments}


def save(builder: Builder, tag: str, archive: Path) -> None:
    """Writes an image into an archive that containerd, Docker and Podman import under the name that pods use.

    Raises:
        LocalClusterError: The image does not exist.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.unlink(missing_ok=True)
    if builder is Builder.DOCKER:
        command = [builder, "save", "--output", str(archive), tag]
    else:  # under the name in the archive instead of their own, which starts with `localhost/`
        command = [builder, "push", "--quiet", tag, f"docker-archive:{archive}:{tag}"]
    _run(command)


def debian_base(builder: Builder, progress: Progress, target: Platform | None = None) -> str:
    """Returns the name of a base image from Debian's packages; mmdebstrap makes it if it does not exist.

    That of another platform than the machine's needs QEMU, registered for programs of the platform.

    Raises:
        LocalClusterError: It cannot be made.
    """
    name = f"{DEBIAN_BASE}-{target.debian}" if target else DEBIAN_BASE
    lock = cache_folder() / "base-image.lock"
    with exclusive(lock, lambda waited: progress.tick("Waiting for another build of the base image", waited)):
        if not _has_image(builder, name):
            _make_debian_base(builder, progress, name, target)
    return name


def _make_debian_base(builder: Builder, progress: Progress, name: str, target: Platform | None) -> None:
    if shutil.which("mmdebstrap") is None:
        raise LocalClusterError("A base image from Debian's packages needs mmdebstrap: `apt-get install mmdebstrap`.")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree.tar"
        options = [f"--include={','.join(DEBIAN_PACKAGES)}"]
        if target:
            options.append(f"--architectures={target.debian}")
        failure = run_with_progress(
            ["mmdebstrap", "--quiet", "--variant=essential", *options, DEBIAN, tree],
            f"Making a base image from Debian {DEBIAN}",
            progress,
        )
        if failure is not None:
            raise LocalClusterError(
                f"mmdebstrap could not make Debian {DEBIAN}: check that Debian's packages can be reached.\n{failure}"
            )
        _import(builder, tree, name, target)


def _import(builder: Builder, tree: Path, name: str, target: Platform | None) -> None:
    """Imports an image from the tar of a file system."""
    if builder is not Builder.BUILDAH:
        options = (f"--change=ENV PATH={DEFAULT_PATH}", *_platform(target))
        _run([builder, "import", *options, str(tree), name])
        return
    container = _run([builder, "from", *_platform(target), "scratch"]).strip()
    try:
        _run([builder, "add", "--quiet", container, str(tree), "/"])
        _run([builder, "config", "--env", f"PATH={DEFAULT_PATH}", container])
        _run([builder, "commit", "--quiet", container, name])
    finally:
        _run([builder, "rm", container])


def _platform(target: Platform | None) -> Sequence[str]:
    """Returns the option of a builder that names a platform."""
    return (f"--platform={target}",) if target else ()


def _options(builder: Builder) -> Sequence[str]:
    """Returns options that make a builder keep layers and need only root privileges."""
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
    completed = _call(command)
    if completed.returncode:
        raise LocalClusterError(f"`{' '.join(command)}` failed: {completed.stderr.strip() or completed.stdout.strip()}")
    return completed.stdout


def _call(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
