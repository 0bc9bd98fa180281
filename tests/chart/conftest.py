"""The programs that the chart is tried with, and a cluster of its own: it brings what is there once a cluster."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from chart.kubelet import Kubelet, kubelet
from chart.releases import GUARDED, Helm
from harness.kubectl import Kubectl
from harness.witness import Witness
from helmchart import programs
from localcluster import LocalCluster
from localcluster.progress import PlainProgress

#: The first test that needs a program may have to build it, and the cluster's, which takes minutes.
BUILD_SECONDS = 1800

HELMS = {"helm4": programs.helm4, "helm3": programs.helm3}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests that may have to build something the time for it."""
    for item in items:
        if {"helm", "clustered", "apart", "actionlint"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.timeout(BUILD_SECONDS))


@pytest.fixture(scope="session", params=HELMS)
def helm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Each version of Helm."""
    return Helm(HELMS[request.param](PlainProgress()), tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def helm4(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm 4, where the version makes no difference."""
    return Helm(programs.helm4(PlainProgress()), tmp_path_factory.mktemp("helm4"))


@pytest.fixture(scope="session")
def apart() -> Iterator[LocalCluster]:
    """A cluster without anything of StatefulRoute: the chart's tests install and remove what a cluster has once."""
    if os.environ.get("STATEFULROUTE_KUBECONFIG"):
        pytest.skip(
            "the chart's tests remove definitions, and so every link: not in the cluster of STATEFULROUTE_KUBECONFIG"
        )
    with LocalCluster.start(name=f"chart-{os.getpid()}", nodes=3) as started:
        if not started.has_controllers:
            pytest.skip("nothing runs Deployments and Jobs in this cluster")
        yield started


@pytest.fixture(scope="session")
def chief(apart: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """A kubectl that talks to that cluster as its administrator."""
    return Kubectl(apart.kubectl, apart.kubeconfig, tmp_path_factory.mktemp("kubectl-cache"))


@pytest.fixture(scope="session")
def guarded(chief: Kubectl) -> Kubectl:
    """A kubectl in a namespace where Pod Security `restricted` is enforced."""
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    chief.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": GUARDED, "labels": labels}})
    return chief.within(GUARDED)


@pytest.fixture(scope="session")
def witness(apart: LocalCluster) -> Witness:
    """Who reads and writes that cluster without the product's own client."""
    return Witness(apart.kubeconfig)


@pytest.fixture
def running(apart: LocalCluster, guarded: Kubectl, tmp_path: Path) -> Iterator[Kubelet]:
    """Who runs the pods of the release."""
    with kubelet(apart.kubeconfig, str(guarded.namespace), tmp_path / "kubelet") as runner:
        yield runner


@pytest.fixture
def root() -> Path:
    """The repository's root."""
    return Path(__file__).parents[2]
