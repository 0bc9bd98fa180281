"""Drivers on a real API server, beside an operator that is a process of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from driver.recording import Lines, RecordingClient
from driver.servers import SAYS_NOTHING, Servers
from harness.kubectl import Kubectl
from harness.namespaces import quiet_namespace
from harness.operator import OperatorProcess, OperatorSeat
from harness.service import Service
from harness.witness import PodLink, Witness
from localcluster import LocalCluster
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.server import Connection
from statefulroute.driver.routes import RouteCache

#: A TLS connection that is left in the middle of an answer is closed a moment later, while its loop still runs.
CLOSING_SECONDS = 0.25


@pytest.fixture(scope="module")
def own_place(installed: Kubectl, operator: OperatorProcess, witness: Witness, seat: OperatorSeat) -> Iterator[Kubectl]:
    """A kubectl in a namespace that the tests of a module share, while the operator serves."""
    del operator  # it has to serve
    with quiet_namespace(installed, witness, seat) as name:
        yield installed.within(name)


@pytest.fixture(scope="module")
def standing(own_place: Kubectl, witness: Witness) -> Service:
    """A service with three pods for all tests of a module."""
    service = Service(own_place, witness)
    service.start()
    return service


@pytest.fixture
def game(standing: Service) -> Service:
    """The service."""
    return standing


@pytest.fixture
def lines() -> Lines:
    """What a driver logs."""
    return Lines()


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
async def routes(shared_client: Client, standing: Service) -> AsyncIterator[RouteCache]:
    """What is known of the services of the namespace."""
    async with RouteCache(shared_client, standing.namespace) as made:
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
def servers(client: RecordingClient, game: Service, routes: RouteCache) -> Iterator[Servers]:
    """Makes the drivers of the service's pods; at the end of the test its users leave, and the pods say nothing."""
    yield Servers(client, game, routes)
    if any("/podlinks" in path for path in client.written):
        game.witness.delete_all(PodLink, game.namespace)
    for path in client.written:
        if "/pods/" in path:
            game.annotate(path.rpartition("/")[2], SAYS_NOTHING)
