"""Fixtures for link stores on a real API server. No operator runs unless a test starts it."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from links.stored_links import StoredLinks
from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import LINKS
from statefulroute.cluster.informer import run_reflectors
from statefulroute.cluster.link_store import LinkStore
from statefulroute.cluster.reflector import Reflector
from statefulroute.domain.link import Link
from statefulroute.domain.times import TimeInterval
from support.clients import open_client
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.namespaces import drained_namespace
from support.operator_process import OperatorSlot


@pytest.fixture(scope="module")
def namespace(installed: Kubectl, independent_client: IndependentClient, operator_slot: OperatorSlot) -> Iterator[str]:
    """The name of a namespace that the tests of a module share; each test uses its own uids."""
    with drained_namespace(installed, independent_client, operator_slot) as name:
        yield name


@pytest.fixture
def now() -> datetime:
    """The time of the stores in a test."""
    return datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def stored_links(independent_client: IndependentClient, namespace: str, now: datetime) -> StoredLinks:
    """Reads and writes the links of the namespace with the independent client."""
    return StoredLinks(independent_client, namespace, now)


@pytest.fixture
def client(shared_client: Client) -> Client:
    """The stores' client."""
    return shared_client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cache(connection: Connection) -> AsyncIterator[Reflector[Link]]:
    """A synced cache of links. It gets the writes of a test only by its watch."""
    async with open_client(Client, connection, max_connections=1) as client:
        reflector = Reflector(client, LINKS)
        async with run_reflectors([reflector]):
            await reflector.synced.wait()
            yield reflector


@pytest.fixture
def make_store(namespace: str, now: datetime) -> Callable[..., LinkStore]:
    """Makes a store for the test's namespace and time."""

    def make(client: Any, **options: Any) -> LinkStore:
        return LinkStore(client, namespace, **{"clock": lambda: TimeInterval.at(now), **options})

    return make


@pytest.fixture
def store(client: Client, make_store: Callable[..., LinkStore]) -> LinkStore:
    """A store without a cache."""
    return make_store(client)
