"""The commands as people run them: the installed plugin through kubectl, against a real API server."""

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
    """The name of a namespace that the tests of a module share: each has users of its own."""
    with drained_namespace(installed, independent_client, operator_slot) as name:
        yield name


@pytest.fixture(scope="module")
def here(installed: Kubectl, namespace: str) -> Kubectl:
    """A kubectl in the module's namespace."""
    return installed.within(namespace)


@pytest.fixture(scope="module")
def game(operator: OperatorProcess, here: Kubectl, independent_client: IndependentClient) -> Service:
    """A service with three pods that are Ready, and its route, while the operator serves."""
    del operator  # it has to serve
    service = Service(here, independent_client)
    service.start()
    return service


@pytest.fixture(scope="module")
def statefulroute(cluster: LocalCluster, namespace: str) -> Command:
    """`kubectl statefulroute` in the module's namespace."""
    return Command(cluster.kubeconfig, namespace)
