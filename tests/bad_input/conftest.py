"""A service with an operator, for tests with invalid objects."""

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
    """Starts a service with three Ready pods in its own namespace, while an operator runs."""
    del own_operator
    with drained_namespace(installed, independent_client, operator_slot) as name:
        service = Service(installed.within(name), independent_client)
        service.start(onPodLost={"action": "Keep"})
        yield service
