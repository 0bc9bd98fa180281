"""Fixtures for drivers on a real API server, with an operator in its own process."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from driver.driver_factory import NO_REPORT, DriverFactory
from driver.recording import RecordingClient, RecordingLogger
from localcluster import LocalCluster
from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client
from statefulroute.driver.routes import RouteCache
from support.clients import open_client
from support.independent_client import PodLink
from support.service import Service


@pytest.fixture
def game(shared_service: Service) -> Service:
    """The service that the module shares."""
    return shared_service


@pytest.fixture
def in_a_pod(monkeypatch: pytest.MonkeyPatch, cluster: LocalCluster, game: Service) -> pytest.MonkeyPatch:
    """The environment of the pod game-0, in the process of the test and in those that it starts."""
    for name in ("STATEFULROUTE_NAME", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    monkeypatch.setenv("POD_NAME", "game-0")
    monkeypatch.setenv("POD_NAMESPACE", game.namespace)
    return monkeypatch


@pytest.fixture
def logger() -> RecordingLogger:
    """A logger for drivers that keeps its entries."""
    return RecordingLogger()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def routes(shared_client: Client, shared_service: Service) -> AsyncIterator[RouteCache]:
    """The synced cache of the namespace's services. Its client is not the recorded one."""
    async with RouteCache(shared_client, shared_service.namespace) as cache:
        await cache.wait_synced()
        yield cache


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def recording_client(connection: Connection) -> AsyncIterator[RecordingClient]:
    """A client of the API server that records its requests."""
    async with open_client(RecordingClient, connection) as client:
        yield client


@pytest.fixture
def client(recording_client: RecordingClient) -> RecordingClient:
    """The drivers' client, which records the requests of this test."""
    recording_client.requests.clear()
    recording_client.written.clear()
    return recording_client


@pytest.fixture
def servers(client: RecordingClient, game: Service, routes: RouteCache) -> Iterator[DriverFactory]:
    """Makes drivers of the service's pods. After the test, removes the links and annotations that were written."""
    yield DriverFactory(client, game, routes)
    if any("/podlinks" in path for path in client.written):
        game.client.delete_all(PodLink, game.namespace)
    for path in client.written:
        if "/pods/" in path:
            game.annotate(path.rpartition("/")[2], NO_REPORT)
