"""The programs of the chart's tests, and a separate cluster: the chart installs cluster-wide objects."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from chart.kubelet import Kubelet, kubelet
from chart.releases import CHART, RESTRICTED_NAMESPACE, Helm, previous_chart
from helmchart import programs
from localcluster import LocalCluster
from localcluster.kubectl import minor_of
from localcluster.progress import PlainProgress
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.timeouts import extend_timeouts
from support.used_clusters import used_clusters

#: The first test that needs a program, or the cluster, may have to build it, which takes minutes.
BUILD_SECONDS = 1800

HELMS = {"helm4": programs.helm4, "helm3": programs.helm3}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Extends the timeout of the tests that may have to build something."""
    extend_timeouts(items, {"helm", "clustered", "dedicated_cluster", "actionlint"}, BUILD_SECONDS)


@pytest.fixture(scope="session", params=HELMS)
def helm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Each version of Helm."""
    return Helm(HELMS[request.param](PlainProgress()), tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def helm4(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm 4, for tests that do not depend on the version."""
    return Helm(programs.helm4(PlainProgress()), tmp_path_factory.mktemp("helm4"))


@pytest.fixture(scope="session")
def dedicated_cluster() -> Iterator[LocalCluster]:
    """A cluster without StatefulRoute: the chart's tests install and remove cluster-wide objects."""
    if os.environ.get("STATEFULROUTE_KUBECONFIG"):
        pytest.skip("the chart's tests remove the CRDs with every link: not in the cluster of STATEFULROUTE_KUBECONFIG")
    with used_clusters.start("dedicated_cluster", name=f"chart-{os.getpid()}", nodes=3) as started:
        if not started.has_controllers:
            pytest.skip("no controllers run Deployments and Jobs in this cluster")
        yield started


@pytest.fixture(scope="session")
def admin(dedicated_cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """A kubectl of that cluster's administrator."""
    return Kubectl(dedicated_cluster.kubectl, dedicated_cluster.kubeconfig, tmp_path_factory.mktemp("kubectl-cache"))


@pytest.fixture(scope="session")
def restricted_kubectl(admin: Kubectl) -> Kubectl:
    """A kubectl in a namespace that enforces Pod Security `restricted`."""
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    admin.create(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RESTRICTED_NAMESPACE, "labels": labels}}
    )
    return admin.within(RESTRICTED_NAMESPACE)


@pytest.fixture(scope="session")
def independent_client(dedicated_cluster: LocalCluster) -> IndependentClient:
    """A client of that cluster that does not use the product's code."""
    return IndependentClient(dedicated_cluster.kubeconfig)


@pytest.fixture
def running(dedicated_cluster: LocalCluster, restricted_kubectl: Kubectl, tmp_path: Path) -> Iterator[Kubelet]:
    """A simulated kubelet that runs the pods of the release."""
    with kubelet(dedicated_cluster.kubeconfig, str(restricted_kubectl.namespace), tmp_path / "kubelet") as runner:
        yield runner


@pytest.fixture
def first_chart(dedicated_cluster: LocalCluster) -> Path:
    """The chart of the previous release; the present one on Kubernetes 1.31, which cannot install the previous one."""
    return previous_chart() if minor_of(dedicated_cluster.version) > 31 else CHART


@pytest.fixture
def root() -> Path:
    """The repository's root."""
    return Path(__file__).parents[2]
