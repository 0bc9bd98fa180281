"""The commands as people run them: the installed plugin through kubectl, against a real API server."""

from collections.abc import Iterator

import pytest

from harness.command import Command
from harness.kubectl import Kubectl
from harness.namespaces import quiet_namespace
from harness.operator import OperatorProcess, OperatorSeat
from harness.service import Service
from harness.witness import Witness
from localcluster import LocalCluster


@pytest.fixture(scope="module")
def namespace(installed: Kubectl, seat: OperatorSeat, witness: Witness) -> Iterator[str]:
    """The name of a namespace that the tests of a module share: each has users of its own."""
    with quiet_namespace(installed, witness, seat) as name:
        yield name


@pytest.fixture(scope="module")
def here(installed: Kubectl, namespace: str) -> Kubectl:
    """A kubectl in the module's namespace."""
    return installed.within(namespace)


@pytest.fixture(scope="module")
def game(operator: OperatorProcess, here: Kubectl, witness: Witness) -> Service:
    """A service with three pods that are Ready, and its route, while the operator serves."""
    del operator  # it has to serve
    service = Service(here, witness)
    service.start()
    return service


@pytest.fixture(scope="module")
def statefulroute(cluster: LocalCluster, namespace: str) -> Command:
    """`kubectl statefulroute` in the module's namespace."""
    return Command(cluster.kubeconfig, namespace)
