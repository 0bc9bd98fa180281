"""The operator runs as it is installed, one at a time, against a real API server."""

from collections.abc import Iterator

import pytest

from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.link_recorder import LinkRecorder, recording
from support.service import Service


@pytest.fixture(scope="session", autouse=True)
def _runs_pods(runs_pods: None) -> None:
    del runs_pods


@pytest.fixture
def history(independent_client: IndependentClient, shared_service: Service) -> Iterator[LinkRecorder]:
    """Records every version of every link of the shared service."""
    with recording(independent_client, shared_service.namespace) as link_recorder:
        yield link_recorder


@pytest.fixture
def service(here: Kubectl, independent_client: IndependentClient) -> Service:
    """A stateful service `game` in the test's namespace, of which nothing exists yet."""
    return Service(here, independent_client)


@pytest.fixture
def game(service: Service) -> Service:
    """The service with three pods that are Ready, and its route."""
    service.start()
    return service


@pytest.fixture
def recorder(independent_client: IndependentClient, namespace: str) -> Iterator[LinkRecorder]:
    """Records every version of every link of the test's namespace."""
    with recording(independent_client, namespace) as link_recorder:
        yield link_recorder
