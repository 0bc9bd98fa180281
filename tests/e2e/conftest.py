"""The operator runs as it is installed, one at a time, against a real API server."""

from collections.abc import Iterator

import pytest

from harness.kubectl import Kubectl
from harness.namespaces import quiet_namespace
from harness.operator import OperatorProcess, OperatorSeat
from harness.recorder import Recorder, recording
from harness.service import Service
from harness.witness import Witness


@pytest.fixture(scope="session", autouse=True)
def _runs_pods(runs_pods: None) -> None:
    del runs_pods


@pytest.fixture
def namespace(installed: Kubectl, seat: OperatorSeat, witness: Witness) -> Iterator[str]:
    """The name of a namespace that this test has for itself; nothing in it makes work for the operator afterwards."""
    with quiet_namespace(installed, witness, seat) as name:
        yield name


@pytest.fixture(scope="module")
def own_place(installed: Kubectl, operator: OperatorProcess, seat: OperatorSeat, witness: Witness) -> Iterator[Kubectl]:
    """A kubectl in a namespace that a module has for itself, while the operator serves."""
    del operator  # it has to serve
    with quiet_namespace(installed, witness, seat) as name:
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
