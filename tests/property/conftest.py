"""A cluster with an operator, and several clients of different kinds on it."""

from collections.abc import Generator, Iterator

import pytest

from harness.kubectl import Kubectl
from harness.namespaces import fresh_namespace
from harness.operator import OperatorProcess, OperatorSeat
from harness.patience import eventually
from harness.service import Service
from harness.witness import PodLink, StatefulRoute, Witness
from localcluster import LocalCluster

_SEAT = pytest.StashKey[OperatorSeat]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what the operator has logged."""
    report = yield
    seat = item.config.stash.get(_SEAT, None)
    if report.failed and seat is not None and seat.operator is not None:
        report.sections.append(("the operator's log", seat.operator.last_lines))
    return report


@pytest.fixture(scope="session")
def witness(cluster: LocalCluster) -> Witness:
    """A client that shares nothing with the product."""
    return Witness(cluster.kubeconfig)


@pytest.fixture(scope="session")
def seat(
    cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[OperatorSeat]:
    """The one place for an operator."""
    if not cluster.has_controllers:
        pytest.skip("this cluster has no controllers and nodes: a StatefulSet gets no pods here")
    pytestconfig.stash[_SEAT] = made = OperatorSeat(cluster.kubeconfig, tmp_path_factory.mktemp("operators"))
    yield made
    assert not made.is_taken


@pytest.fixture
def operator(installed: Kubectl, seat: OperatorSeat) -> Iterator[OperatorProcess]:
    """An operator for this test alone; it serves already, and has complained of nothing at the end."""
    del installed
    with seat.taken() as process:
        yield process.start()
        if not process.is_running:
            process.start()
        process.stop()
        assert process.complaints() == []


@pytest.fixture
def game(operator: OperatorProcess, installed: Kubectl, witness: Witness) -> Iterator[Service]:
    """A service with three pods that are Ready, in a namespace of its own; its links stay where they are."""
    with fresh_namespace(installed) as name:
        service = Service(installed.within(name), witness)
        service.start(onPodLost={"action": "Keep"})
        yield service
        if not operator.is_running:
            operator.start()
        witness.delete_all(PodLink, name)
        witness.delete(StatefulRoute, service.name, name)
        eventually(lambda: not witness.all(StatefulRoute, name), "the route is gone")
