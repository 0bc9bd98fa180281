"""Drivers on a real API server, beside an operator that is a process of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from driver.driver_factory import NO_REPORT, DriverFactory
from driver.recording import RecordingClient, RecordingLogger
from localcluster import LocalCluster
from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.driver.routes import RouteCache
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.namespaces import drained_namespace
from support.operator_process import OperatorProcess, OperatorSlot
from support.service import Service

#: A TLS connection that is left in the middle of an answer is closed a moment later, while its loop still runs.
CLOSING_SECONDS = 0.25


@pytest.fixture(scope="module")
def shared_kubectl(
    installed: Kubectl, operator: OperatorProcess, independent_client: IndependentClient, operator_slot: OperatorSlot
) -> Iterator[Kubectl]:
    """A kubectl in a namespace that the tests of a module share, while the operator serves."""
    del operator  # it has to serve
    with drained_namespace(installed, independent_client, operator_slot) as name:
        yield installed.within(name)


@pytest.fixture(scope="module")
def shared_service(shared_kubectl: Kubectl, independent_client: IndependentClient) -> Service:
    """A service with three pods for all tests of a module."""
    service = Service(shared_kubectl, independent_client)
    service.start()
    return service


@pytest.fixture
def game(shared_service: Service) -> Service:
    """The service."""
    return shared_service


@pytest.fixture
def logger() -> RecordingLogger:
    """What a driver logs."""
    return RecordingLogger()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connection(cluster: LocalCluster) -> AsyncIterator[Connection]:
    async with connect(cluster.kubeconfig) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_client(connection: Connection) -> AsyncIterator[Client]:
    """Who follows the routes: its requests are not those of a test."""
    async with Client(connection) as made:
        yield made
    await asyncio.sleep(CLOSING_SECONDS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def routes(shared_client: Client, shared_service: Service) -> AsyncIterator[RouteCache]:
    """What is known of the services of the namespace."""
    async with RouteCache(shared_client, shared_service.namespace) as made:
        await made.wait_synced()
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def recording_client(connection: Connection) -> AsyncIterator[RecordingClient]:
    async with RecordingClient(connection) as made:
        yield made
    await asyncio.sleep(CLOSING_SECONDS)


@pytest.fixture
def client(recording_client: RecordingClient) -> RecordingClient:
    """The drivers' client; it knows what they have asked for in this test."""
    recording_client.requests.clear()
    recording_client.written.clear()
    return recording_client


@pytest.fixture
def servers(client: RecordingClient, game: Service, routes: RouteCache) -> Iterator[DriverFactory]:
    """Makes the drivers of the service's pods; at the end of the test its users leave, and the pods say nothing."""
    yield DriverFactory(client, game, routes)
    if any("/podlinks" in path for path in client.written):
        game.client.delete_all(PodLink, game.namespace)
    for path in client.written:
        if "/pods/" in path:
            game.annotate(path.rpartition("/")[2], NO_REPORT)
