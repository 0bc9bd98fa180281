"""Fixtures that several folders of tests use: a service that a module shares, and clients of the API server."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from localcluster import LocalCluster
from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from support.clients import open_client
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.namespaces import drained_namespace
from support.operator_process import OperatorProcess, OperatorSlot
from support.service import Service


@pytest.fixture(scope="module")
def shared_kubectl(
    installed: Kubectl, operator: OperatorProcess, independent_client: IndependentClient, operator_slot: OperatorSlot
) -> Iterator[Kubectl]:
    """A kubectl in a namespace that the tests of a module share, while the operator serves."""
    del operator  # it must serve
    with drained_namespace(installed, independent_client, operator_slot) as name:
        yield installed.within(name)


@pytest.fixture(scope="module")
def killable_cluster(cluster: LocalCluster, installed: Kubectl) -> Iterator[LocalCluster]:
    """The session's cluster, for tests that kill and freeze its API server; they must not use an operator."""
    if cluster.provider not in {"builtin", "envtest"}:
        pytest.skip("this cluster's API server cannot be killed by the test")
    yield cluster
    apiserver = cluster.part("apiserver")
    if not apiserver.is_running:  # a test has failed
        apiserver.restart()
    # A long outage looks like a loss of the nodes, which could not renew their Leases.
    installed.run("wait", "--for=condition=Ready", "--timeout=60s", "nodes", "--all").expect_success()


@pytest.fixture(scope="module")
def shared_service(shared_kubectl: Kubectl, independent_client: IndependentClient) -> Service:
    """A service with three pods that the tests of a module share; each leaves its pods and route as it finds them."""
    service = Service(shared_kubectl, independent_client)
    service.start()
    return service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connection(cluster: LocalCluster) -> AsyncIterator[Connection]:
    """A connection to the API server that the tests of a module share."""
    async with connect(cluster.kubeconfig) as connection:
        yield connection


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_client(connection: Connection) -> AsyncIterator[Client]:
    """A client of the API server that the tests of a module share."""
    async with open_client(Client, connection) as client:
        yield client
