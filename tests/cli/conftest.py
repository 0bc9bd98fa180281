"""The commands as people run them: the installed plugin through kubectl, against a real API server."""

from collections.abc import Iterator

import pytest

from harness.command import Command
from harness.kubectl import Kubectl
from harness.namespaces import fresh_namespace
from harness.operator import OperatorProcess, OperatorSeat
from harness.patience import eventually
from harness.service import Service
from harness.witness import PodLink, StatefulRoute, Witness
from localcluster import LocalCluster


@pytest.fixture(scope="session")
def witness(cluster: LocalCluster) -> Witness:
    """A client that shares nothing with the product."""
    return Witness(cluster.kubeconfig)


@pytest.fixture(scope="session")
def seat(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorSeat]:
    """The one place for an operator."""
    made = OperatorSeat(cluster.kubeconfig, tmp_path_factory.mktemp("operators"))
    yield made
    assert not made.is_taken


@pytest.fixture(scope="module")
def operator(cluster: LocalCluster, installed: Kubectl, seat: OperatorSeat) -> Iterator[OperatorProcess]:
    """An operator that serves the tests of a module."""
    if not cluster.has_controllers:
        pytest.skip("this cluster has no controllers and nodes: a StatefulSet gets no pods here")
    del installed  # the kinds must be known before it starts
    with seat.taken() as process:
        yield process.start()
        process.stop()
        assert process.complaints() == []


@pytest.fixture(scope="module")
def namespace(installed: Kubectl, seat: OperatorSeat, witness: Witness) -> Iterator[str]:
    """The name of a namespace that the tests of a module share: each has users of its own."""
    with fresh_namespace(installed) as name:
        yield name
        witness.delete_all(PodLink, name)
        for route in witness.all(StatefulRoute, name):
            route_name = route["metadata"]["name"]
            witness.delete(StatefulRoute, route_name, name)
            if route["metadata"].get("finalizers") and not seat.is_taken:
                witness.patch(StatefulRoute, route_name, name, {"metadata": {"finalizers": None}})
        eventually(lambda: not witness.all(StatefulRoute, name), "the routes are gone")


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
