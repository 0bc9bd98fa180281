"""A cluster with an operator, and several clients of different kinds on it."""

from collections.abc import Iterator

import pytest

from harness.kubectl import Kubectl
from harness.namespaces import fresh_namespace
from harness.operator import OperatorProcess, OperatorSeat
from harness.patience import eventually
from harness.service import Service
from harness.witness import PodLink, StatefulRoute, Witness


@pytest.fixture
def operator(runs_pods: None, installed: Kubectl, seat: OperatorSeat) -> Iterator[OperatorProcess]:
    """An operator for this test alone; it serves already, and has complained of nothing at the end."""
    del runs_pods, installed
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
