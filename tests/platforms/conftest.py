"""The image for another platform, which QEMU runs, in place of the processes of the tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster import LocalCluster
from localcluster.images import Platform
from resolver.conftest import independent_client, module_namespace, reused_stub_service, stub_service
from resolver.test_tls import authority
from support import unpacked_image
from support.timeouts import extend_timeouts

__all__ = ["authority", "independent_client", "module_namespace", "reused_stub_service", "stub_service"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Extends the timeout of the tests that may have to build the image."""
    extend_timeouts(items, {"image_root"}, unpacked_image.BUILD_SECONDS)


@pytest.fixture(scope="session")
def image_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The unpacked files of the image, which is built before."""
    platform = os.environ.get("STATEFULROUTE_PLATFORM")
    if not platform:
        pytest.skip("only the long form builds an image for another platform: make test-platform PLATFORM=linux/s390x")
    if reason := unpacked_image.missing_program():
        pytest.skip(reason)
    with unpacked_image.unpacked_image(tmp_path_factory.mktemp("platform"), {}, Platform(platform)) as root:
        yield root


@pytest.fixture(scope="module")
def statefulroute(image_root: Path, cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The image's program, which the tests start in place of their own."""
    program = tmp_path_factory.mktemp("programs") / "statefulroute"
    unpacked_image.write_program(program, image_root, [cluster.kubeconfig.parent])
    with unpacked_image.started_by_the_tests(program):
        yield program
