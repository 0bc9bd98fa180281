"""An operator, a service that goes on serving, and the two kinds as they are defined."""

from collections.abc import Iterator

import pytest

from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.namespaces import drained_namespace
from support.operator_process import OperatorProcess, OperatorSlot
from support.service import Service


@pytest.fixture
def game(
    own_operator: OperatorProcess,
    installed: Kubectl,
    operator_slot: OperatorSlot,
    independent_client: IndependentClient,
) -> Iterator[Service]:
    """A service with three pods that are Ready, in a namespace of its own, while an operator serves."""
    del own_operator
    with drained_namespace(installed, independent_client, operator_slot) as name:
        service = Service(installed.within(name), independent_client)
        service.start(onPodLost={"action": "Keep"})
        yield service
