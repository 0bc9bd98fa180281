"""Fixtures for property tests: an operator and a service for one test."""

from collections.abc import Iterator

import pytest

from support.independent_client import IndependentClient, PodLink, StatefulRoute
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.operator_process import OperatorProcess, OperatorSlot
from support.service import Service
from support.waiting import eventually


@pytest.fixture
def operator(runs_pods: None, installed: Kubectl, operator_slot: OperatorSlot) -> Iterator[OperatorProcess]:
    """A running operator for this test only. After the test, its log must have no errors."""
    del runs_pods, installed
    with operator_slot.acquire() as process:
        yield process.start()
        if not process.is_running:
            process.start()
        process.stop()
        assert process.errors() == []


@pytest.fixture
def game(operator: OperatorProcess, installed: Kubectl, independent_client: IndependentClient) -> Iterator[Service]:
    """A service with three ready pods in its own namespace; it keeps the links of lost pods."""
    with fresh_namespace(installed) as name:
        service = Service(installed.within(name), independent_client)
        service.start(onPodLost={"action": "Keep"})
        yield service
        if not operator.is_running:
            operator.start()
        independent_client.delete_all(PodLink, name)
        independent_client.delete(StatefulRoute, service.name, name)
        eventually(lambda: not independent_client.all(StatefulRoute, name), "the route is gone")
