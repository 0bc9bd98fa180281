"""A cluster with a real node and the images that are built from this repository."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chart.releases import Helm
from helmchart import programs
from localcluster import LocalCluster
from localcluster.node import prerequisites
from localcluster.progress import PlainProgress
from node.images import build_images
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.timeouts import extend_timeouts

#: The first test may have to build the programs, the base image and the images, which takes minutes.
BUILD_SECONDS = 1800


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Extends the timeout of the tests that may have to build something."""
    extend_timeouts(items, {"node_prerequisites", "real_cluster"}, BUILD_SECONDS)


@pytest.fixture(scope="session")
def node_prerequisites() -> None:
    """Skips the tests, with the reason, on a machine that does not support a real node."""
    if missing := prerequisites.missing_prerequisites():
        others = f" ({len(missing) - 1} more are missing.)" if missing[1:] else ""
        pytest.skip(f"{missing[0]}{others} `make node-packages` installs programs of a real node.")


@pytest.fixture(scope="session")
def image_builders(node_prerequisites: None) -> None:  # noqa: ARG001
    """Skips the tests, with the reason, on a machine that cannot build images without a registry."""
    for program in ("buildah", "mmdebstrap"):
        if shutil.which(program) is None:
            pytest.skip(f"There is no {program}, which makes the images: `make node-packages` installs it.")


@pytest.fixture(scope="session")
def archives(image_builders: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:  # noqa: ARG001
    """Builds archives of the operator's image, those of the examples and Envoy's."""
    folder = tmp_path_factory.mktemp("images")
    yield build_images(folder, PlainProgress())
    shutil.rmtree(folder)  # they are large


@pytest.fixture(scope="module")
def real_cluster(archives: list[Path]) -> Iterator[LocalCluster]:
    """A cluster whose node runs containers, with the images loaded; it occupies the machine even if it is idle."""
    with LocalCluster.start(name=f"real-{os.getpid()}", provider="node") as started:
        for archive in archives:
            started.load_image(archive)
        yield started


@pytest.fixture(scope="module")
def admin(real_cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """A kubectl of that cluster's administrator."""
    return Kubectl(real_cluster.kubectl, real_cluster.kubeconfig, tmp_path_factory.mktemp("kubectl-cache"))


@pytest.fixture(scope="module")
def independent_client(real_cluster: LocalCluster) -> IndependentClient:
    """A client of that cluster that does not use the product's code."""
    return IndependentClient(real_cluster.kubeconfig)


@pytest.fixture(scope="module")
def helm(real_cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm 4 for that cluster."""
    return Helm(programs.helm4(PlainProgress()), tmp_path_factory.mktemp("helm"), real_cluster.kubeconfig)
