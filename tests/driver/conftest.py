"""Drivers on a real API server, beside an operator that is a process of its own."""

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator
from itertools import count

import pytest
import pytest_asyncio

from driver.recording import Lines, RecordingClient
from driver.servers import SAYS_NOTHING, Servers
from harness.kubectl import Kubectl
from harness.namespaces import fresh_namespace
from harness.operator import OperatorProcess, OperatorSeat
from harness.patience import eventually
from harness.service import Service
from harness.witness import PodLink, StatefulRoute, Witness
from localcluster import LocalCluster
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.server import Connection
from statefulroute.driver.routes import RouteCache

_SEAT = pytest.StashKey[OperatorSeat]()
_numbers = count()

#: A TLS connection that is left in the middle of an answer is closed a moment later, while its loop still runs.
CLOSING_SECONDS = 0.25


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what the operator has logged."""
    report = yield
    seat = item.config.stash.get(_SEAT, None)
    if report.failed and seat is not None and seat.operator is not None:
        report.sections.append(("the operator's log", seat.operator.last_lines))
    return report


@pytest.fixture(scope="session")
def witness(cluster: LocalCluster) -> Witness:
    """A client that shares nothing with the product."""
    return Witness(cluster.kubeconfig)


@pytest.fixture(scope="session")
def seat(
    cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[OperatorSeat]:
    """The one place for an operator."""
    if not cluster.has_controllers:
        pytest.skip("this cluster has no controllers and nodes: a StatefulSet gets no pods here")
    pytestconfig.stash[_SEAT] = made = OperatorSeat(cluster.kubeconfig, tmp_path_factory.mktemp("operators"))
    yield made
    assert not made.is_taken


@pytest.fixture(scope="module")
def operator(installed: Kubectl, seat: OperatorSeat) -> Iterator[OperatorProcess]:
    """An operator that serves the tests of a module."""
    del installed  # the kinds must be known before it starts
    with seat.taken() as process:
        yield process.start()
        process.stop()
        assert process.complaints() == []


@pytest.fixture(scope="module")
def own_place(installed: Kubectl, operator: OperatorProcess, witness: Witness) -> Iterator[Kubectl]:
    """A kubectl in a namespace that the tests of a module share, while the operator serves."""
    del operator  # it has to serve
    with fresh_namespace(installed) as name:
        yield installed.within(name)
        witness.delete_all(PodLink, name)
        for route in witness.all(StatefulRoute, name):
            witness.delete(StatefulRoute, route["metadata"]["name"], name)
        eventually(lambda: not witness.all(StatefulRoute, name), "the routes are gone")


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
def uid() -> str:
    """A user that no other test knows."""
    return f"user-{next(_numbers)}"


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
