"""Stores on a real API server. No operator runs unless a test asks for it: nothing but the test changes a link."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
import pytest_asyncio

from harness.kubectl import Kubectl
from harness.namespaces import fresh_namespace
from harness.operator import OperatorProcess, OperatorSeat
from harness.patience import eventually
from harness.witness import PodLink, StatefulRoute, Witness
from links.place import Place
from localcluster import LocalCluster
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.link_store import LinkStore
from statefulroute.cluster.reflector import Reflector
from statefulroute.cluster.server import Connection
from statefulroute.cluster.wire import LINKS
from statefulroute.domain.link import Link

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


@pytest.fixture
def own_operator(installed: Kubectl, seat: OperatorSeat) -> Iterator[OperatorProcess]:
    """An operator for this test alone, to be killed and started as it likes; it serves already."""
    del installed
    with seat.taken() as process:
        yield process.start()


@pytest.fixture(scope="module")
def namespace(installed: Kubectl, witness: Witness) -> Iterator[str]:
    """The name of a namespace that the tests of a module share: each has uids of its own."""
    with fresh_namespace(installed) as name:
        yield name
        witness.delete_all(PodLink, name)
        for route in witness.all(StatefulRoute, name):
            route_name = route["metadata"]["name"]
            witness.delete(StatefulRoute, route_name, name)
            if route["metadata"].get("finalizers"):
                witness.patch(StatefulRoute, route_name, name, {"metadata": {"finalizers": None}})
        eventually(lambda: not witness.all(StatefulRoute, name), "the routes are gone")


@pytest.fixture
def uid() -> str:
    """A user that no other test knows."""
    return f"user-{next(_numbers)}"


@pytest.fixture
def now() -> datetime:
    """The time that it is for the stores of a test."""
    return datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def place(witness: Witness, namespace: str, now: datetime) -> Place:
    """The links of the namespace as an outsider sees and makes them."""
    return Place(witness, namespace, now)


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
    async with Client(connection, connections=1) as client:
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
