"""Stores on a real API server. No operator runs unless a test asks for it: nothing but the test changes a link."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from links.stored_links import StoredLinks
from localcluster import LocalCluster
from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import LINKS
from statefulroute.cluster.connection import connect
from statefulroute.cluster.link_store import LinkStore
from statefulroute.cluster.reflector import Reflector
from statefulroute.domain.link import Link
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.namespaces import drained_namespace
from support.operator_process import OperatorSlot

#: A TLS connection that is left in the middle of an answer is closed a moment later, while its loop still runs.
CLOSING_SECONDS = 0.25


@pytest.fixture(scope="module")
def namespace(installed: Kubectl, independent_client: IndependentClient, operator_slot: OperatorSlot) -> Iterator[str]:
    """The name of a namespace that the tests of a module share: each has uids of its own."""
    with drained_namespace(installed, independent_client, operator_slot) as name:
        yield name


@pytest.fixture
def now() -> datetime:
    """The time that it is for the stores of a test."""
    return datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def stored_links(independent_client: IndependentClient, namespace: str, now: datetime) -> StoredLinks:
    """The links of the namespace as an outsider sees and makes them."""
    return StoredLinks(independent_client, namespace, now)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connection(cluster: LocalCluster) -> AsyncIterator[Connection]:
    async with connect(cluster.kubeconfig) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(connection: Connection) -> AsyncIterator[Client]:
    async with Client(connection) as made:
        yield made
    await asyncio.sleep(CLOSING_SECONDS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cache(connection: Connection) -> AsyncIterator[Reflector[Link]]:
    """A cache of links that follows the API server; it does not know what a test makes until it is told."""
    async with Client(connection, max_connections=1) as client:
        reflector = Reflector(client, LINKS)
        following = asyncio.create_task(reflector.run())
        await reflector.synced.wait()
        yield reflector
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
    await asyncio.sleep(CLOSING_SECONDS)


@pytest.fixture
def make_store(namespace: str, now: datetime) -> Callable[..., LinkStore]:
    """Makes a store in the test's namespace and time."""

    def make(client: Any, **options: Any) -> LinkStore:
        return LinkStore(client, namespace, **{"clock": lambda: now, **options})

    return make


@pytest.fixture
def store(client: Client, make_store: Callable[..., LinkStore]) -> LinkStore:
    """A store without a cache."""
    return make_store(client)
