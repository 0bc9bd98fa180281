"""Commands as users run them: the installed kubectl plugin, against a real API server."""

from collections.abc import Iterator

import pytest

from localcluster import LocalCluster
from support.command import Command
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.namespaces import drained_namespace
from support.operator_process import OperatorProcess, OperatorSlot
from support.service import Service


@pytest.fixture(scope="module")
def namespace(installed: Kubectl, operator_slot: OperatorSlot, independent_client: IndependentClient) -> Iterator[str]:
    """The name of a namespace that the tests of a module share; each test has its own users."""
    with drained_namespace(installed, independent_client, operator_slot) as name:
        yield name


@pytest.fixture(scope="module")
def namespaced_kubectl(installed: Kubectl, namespace: str) -> Kubectl:
    """A kubectl in the namespace of the module."""
    return installed.within(namespace)


@pytest.fixture(scope="module")
def game(operator: OperatorProcess, namespaced_kubectl: Kubectl, independent_client: IndependentClient) -> Service:
    """A service with three Ready pods and its route, while the operator runs."""
    del operator  # it must run
    service = Service(namespaced_kubectl, independent_client)
    service.start()
    return service


@pytest.fixture(scope="module")
def statefulroute(cluster: LocalCluster, namespace: str) -> Command:
    """`kubectl statefulroute` in the namespace of the module."""
    return Command(cluster.kubeconfig, namespace)
