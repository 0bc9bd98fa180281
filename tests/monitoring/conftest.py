"""Fixtures: a monitored operator and a service on a real API server."""

from collections.abc import Iterator

import pytest

from localcluster import LocalClusterError
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.metrics import ANY_PORT, MonitoredOperator
from support.namespaces import drained_namespace
from support.operator_process import OperatorSlot
from support.promtool import Promtool
from support.service import Service


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    """Prometheus' promtool."""
    try:
        return Promtool.find()
    except LocalClusterError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def monitored_operator(runs_pods: None, installed: Kubectl, operator_slot: OperatorSlot) -> Iterator[MonitoredOperator]:
    """The operator for the tests of a module; asserts at the end that it logged no errors."""
    del runs_pods, installed  # the CustomResourceDefinitions must exist before the operator starts
    with operator_slot.acquire(None, *ANY_PORT) as process:
        yield MonitoredOperator(process.start())
        process.stop()
        assert process.errors() == []


@pytest.fixture(scope="module")
def game(
    monitored_operator: MonitoredOperator,
    installed: Kubectl,
    independent_client: IndependentClient,
    operator_slot: OperatorSlot,
) -> Iterator[Service]:
    """A service with three pods for the tests of a module; its timers run every second."""
    del monitored_operator  # the operator must run
    with drained_namespace(installed, independent_client, operator_slot) as name:
        service = Service(installed.within(name), independent_client)
        service.start(statePeriodSeconds=1, workloadPeriodSeconds=1)
        yield service
