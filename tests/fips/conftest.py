"""The image for FIPS, whose processes run from its unpacked files, in place of those of the tests."""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from driver.conftest import game, in_a_pod
from driver.test_state_transfer import pods
from localcluster import LocalCluster
from resolver.conftest import independent_client, module_namespace, reused_stub_service, stub_service
from resolver.test_tls import authority
from support import unpacked_image
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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Extends the timeout of the tests that may have to build the image."""
    extend_timeouts(items, {"image_root"}, unpacked_image.BUILD_SECONDS)


@pytest.fixture(scope="session")
def image_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The unpacked files of the image, which is built before."""
    if not IS_LONG:
        pytest.skip("only the long form builds the image for FIPS, which takes an hour: make test-fips")
    if reason := unpacked_image.missing_program():
        pytest.skip(reason)
    with unpacked_image.unpacked_image(tmp_path_factory.mktemp("fips"), {"VARIANT": "fips"}) as root:
        yield root


@pytest.fixture(scope="session")
def write_program(
    image_root: Path, cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Writes a program that runs one of the image."""

    def write(program: str) -> Path:
        file = tmp_path_factory.mktemp("programs") / program
        unpacked_image.write_program(file, image_root, [cluster.kubeconfig.parent])
        return file

    return write


@pytest.fixture(scope="module")
def statefulroute(write_program: Callable[[str], Path]) -> Iterator[Path]:
    """The image's program, which the tests start in place of their own."""
    program = write_program("statefulroute")
    with unpacked_image.started_by_the_tests(program):
        yield program


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_python(image_root: Path) -> Run:
    """Runs code with the image's Python."""

    def run(code: str, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        command = [unpacked_image.CHROOT, image_root, "/opt/statefulroute/bin/python", "-c", code]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=dict(variables or {}))

    return run
