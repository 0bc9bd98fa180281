"""An operator, a service that goes on serving, and the two kinds as they are defined."""

from collections.abc import Iterator

import pytest

from harness.kubectl import Kubectl
from harness.namespaces import quiet_namespace
from harness.operator import OperatorProcess, OperatorSeat
from harness.service import Service
from harness.witness import Witness


@pytest.fixture
def game(own_operator: OperatorProcess, installed: Kubectl, seat: OperatorSeat, witness: Witness) -> Iterator[Service]:
    """A service with three pods that are Ready, in a namespace of its own, while an operator serves."""
    del own_operator
    with quiet_namespace(installed, witness, seat) as name:
        service = Service(installed.within(name), witness)
        service.start(onPodLost={"action": "Keep"})
        yield service
