"""Fixtures for resolvers on a real API server, which run in the process of the tests."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from localcluster import LocalCluster
from resolver.in_process import RunningResolver, run_resolver
from resolver.stub_service import StubService
from support.independent_client import IndependentClient
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace


@pytest.fixture(scope="session")
def independent_client(cluster: LocalCluster) -> IndependentClient:
    """A client that shares nothing with the product."""
    return IndependentClient(cluster.kubeconfig)


@pytest.fixture(scope="module")
def module_namespace(installed: Kubectl) -> Iterator[str]:
    """The name of a namespace that the tests of a module share."""
    with fresh_namespace(installed) as name:
        yield name


@pytest.fixture
def stub_service(module_namespace: str, independent_client: IndependentClient) -> Iterator[StubService]:
    """A service with three pods for this test only."""
    made = StubService(independent_client, module_namespace)
    made.create()
    yield made
    made.delete()


@pytest_asyncio.fixture
async def resolver(cluster: LocalCluster, stub_service: StubService) -> AsyncIterator[RunningResolver]:
    """A resolver of the namespace with default settings."""
    async with run_resolver(cluster.kubeconfig, namespaces=(stub_service.namespace,)) as made:
        yield made
