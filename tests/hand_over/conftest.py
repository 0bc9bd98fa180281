"""A service of six pods, whose users are handed over, an operator, and a resolver."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hand_over.system import Parts
from localcluster import LocalCluster
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.operator_process import OperatorProcess
from support.resolver_process import ResolverProcess
from support.service import Service


@pytest.fixture
def service(here: Kubectl, independent_client: IndependentClient) -> Service:
    """A stateful service `game` in the test's namespace, of which nothing exists yet."""
    return Service(here, independent_client)


@pytest.fixture
def resolver(cluster: LocalCluster, service: Service, tmp_path: Path) -> Iterator[ResolverProcess]:
    """A running resolver of the namespace."""
    process = ResolverProcess(cluster.kubeconfig, tmp_path / "resolver.log", "--watch-namespace", service.namespace)
    yield process.start()
    process.stop()


@pytest.fixture
def parts(
    killable_cluster: LocalCluster, service: Service, own_operator: OperatorProcess, resolver: ResolverProcess
) -> Parts:
    """What a run needs before its servers and users."""
    return Parts(killable_cluster, service, own_operator, resolver)
