"""The image for FIPS, whose processes run from its unpacked files, in place of those of the tests."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from driver.conftest import game, in_a_pod
from driver.test_state_transfer import pods
from localcluster import LocalCluster, images
from localcluster.images import Builder, ImageBuild
from localcluster.paths import cache_folder
from localcluster.progress import PlainProgress
from node.images import ROOT, VERSION
from node.test_image import unpack
from resolver.conftest import independent_client, module_namespace, reused_stub_service, stub_service
from resolver.test_tls import authority
from support import operator_process, resolver_process, sidecar_process
from support.scale import IS_LONG
from support.timeouts import extend_timeouts

__all__ = [
    "authority",
    "game",
    "in_a_pod",
    "independent_client",
    "module_namespace",
    "pods",
    "reused_stub_service",
    "stub_service",
]

TAG = f"statefulroute:{VERSION}-fips"

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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Extends the timeout of the tests that may have to build the image."""
    extend_timeouts(items, {"image_root"}, BUILD_SECONDS)


@pytest.fixture(scope="session")
def image_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The unpacked files of the image, which is built before."""
    if not IS_LONG:
        pytest.skip("only the long form builds the image for FIPS, which takes an hour: make test-fips")
    for program in ("buildah", "mmdebstrap", "unshare"):
        if shutil.which(program) is None or os.geteuid():
            pytest.skip(f"The image for FIPS is built with {program}, as root: `make node-packages` installs it.")
    folder = tmp_path_factory.mktemp("image")
    progress = PlainProgress()
    arguments = {"BASE_IMAGE": images.debian_base(Builder.BUILDAH, progress), "VARIANT": "fips", "VERSION": VERSION}
    given = os.environ.get("STATEFULROUTE_BUILD_CONTEXTS", "").split()
    contexts = dict(each.split("=", 1) for each in given)
    build = ImageBuild(ROOT, ROOT / "Dockerfile", TAG, arguments, contexts=contexts)
    images.build(Builder.BUILDAH, build, progress)
    archive = folder / "image.tar"
    images.save(Builder.BUILDAH, TAG, archive)
    # Elsewhere than the folders of the tests, which its processes see.
    root = cache_folder() / f"fips-{os.getpid()}"
    unpack(archive, root)
    archive.unlink()  # it is large
    yield root
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def write_program(
    image_root: Path, cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Writes a program that runs one of the image."""

    def write(program: str) -> Path:
        file = tmp_path_factory.mktemp("programs") / program
        file.write_text(
            WRAPPER.format(root=image_root, program=program, folders=cluster.kubeconfig.parent), encoding="utf-8"
        )
        file.chmod(0o755)
        return file

    return write


@pytest.fixture(scope="module")
def statefulroute(write_program: Callable[[str], Path]) -> Iterator[Path]:
    """The image's program, which the tests start in place of their own."""
    program = write_program("statefulroute")
    with pytest.MonkeyPatch.context() as patch:
        for module in (operator_process, resolver_process, sidecar_process):
            patch.setattr(module, "PROGRAM", program)
        yield program


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_python(image_root: Path) -> Run:
    """Runs code with the image's Python."""

    def run(code: str, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        command = [CHROOT, image_root, "/opt/statefulroute/bin/python", "-c", code]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(variables or {}))

    return run
