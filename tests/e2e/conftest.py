"""The operator runs as it is installed, one at a time, against a real API server."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

from harness.kubectl import Kubectl
from harness.namespaces import fresh_namespace
from harness.operator import OperatorProcess, OperatorSeat
from harness.patience import eventually
from harness.recorder import Recorder, recording
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


@pytest.fixture(scope="session", autouse=True)
def _runs_pods(cluster: LocalCluster) -> None:
    if not cluster.has_controllers:
        pytest.skip("this cluster has no controllers and nodes: a StatefulSet gets no pods here")


@pytest.fixture(scope="session")
def seat(
    cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[OperatorSeat]:
    """The one place for an operator."""
    pytestconfig.stash[_SEAT] = made = OperatorSeat(cluster.kubeconfig, tmp_path_factory.mktemp("operators"))
    yield made
    assert not made.is_taken


@pytest.fixture(scope="module")
def operator(installed: Kubectl, seat: OperatorSeat) -> Iterator[OperatorProcess]:
    """An operator that serves the tests of a module."""
    del installed  # the kinds must be known before it starts
    with seat.taken() as process:
        yield process.start()
        process.stop()
        assert process.complaints() == []


@pytest.fixture
def own_operator(installed: Kubectl, seat: OperatorSeat) -> Iterator[OperatorProcess]:
    """An operator for this test alone, to be killed and started as it likes; it serves already."""
    del installed
    with seat.taken() as process:
        yield process.start()


@pytest.fixture(scope="session")
def witness(cluster: LocalCluster) -> Witness:
    """A client that shares nothing with the product."""
    return Witness(cluster.kubeconfig)


@pytest.fixture
def namespace(installed: Kubectl, seat: OperatorSeat, witness: Witness) -> Iterator[str]:
    """The name of a namespace that this test has for itself; nothing in it makes work for the operator afterwards."""
    with _namespace(installed, seat, witness) as name:
        yield name


@pytest.fixture(scope="module")
def own_place(installed: Kubectl, operator: OperatorProcess, seat: OperatorSeat, witness: Witness) -> Iterator[Kubectl]:
    """A kubectl in a namespace that a module has for itself, while the operator serves."""
    del operator  # it has to serve
    with _namespace(installed, seat, witness) as name:
        yield installed.within(name)


@pytest.fixture(scope="module")
def standing(own_place: Kubectl, witness: Witness) -> Service:
    """A service with three pods for all tests of a module: each leaves the pods and the route as it found them."""
    service = Service(own_place, witness)
    service.start()
    return service


@pytest.fixture
def history(witness: Witness, standing: Service) -> Iterator[Recorder]:
    """Records every version of every link of the standing service."""
    with recording(witness, standing.namespace) as made:
        yield made


@pytest.fixture(scope="module")
def nothing_else_happens(installed: Kubectl, witness: Witness) -> None:
    """The API server counts for the whole cluster: wait until nothing of earlier tests is left in it."""
    del installed  # the kinds must be known
    eventually(lambda: not witness.leftovers(), "nothing of earlier tests is left")


@contextmanager
def _namespace(installed: Kubectl, seat: OperatorSeat, witness: Witness) -> Iterator[str]:
    with fresh_namespace(installed) as name:
        yield name
        _empty(witness, seat, name)


def _empty(witness: Witness, seat: OperatorSeat, namespace: str) -> None:
    witness.delete_all(PodLink, namespace)
    for route in witness.all(StatefulRoute, namespace):
        name = route["metadata"]["name"]
        witness.delete(StatefulRoute, name, namespace)
        if route["metadata"].get("finalizers") and not seat.is_taken:
            witness.patch(StatefulRoute, name, namespace, {"metadata": {"finalizers": None}})
    eventually(lambda: not witness.all(StatefulRoute, namespace), "the routes are gone")


@pytest.fixture
def service(here: Kubectl, witness: Witness) -> Service:
    """A stateful service `game` in the test's namespace, of which nothing exists yet."""
    return Service(here, witness)


@pytest.fixture
def game(service: Service) -> Service:
    """The service with three pods that are Ready, and its route."""
    service.start()
    return service


@pytest.fixture
def recorder(witness: Witness, namespace: str) -> Iterator[Recorder]:
    """Records every version of every link of the test's namespace."""
    with recording(witness, namespace) as made:
        yield made
