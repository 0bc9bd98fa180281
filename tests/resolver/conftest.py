"""Fixtures for resolvers on a real API server, which run in the process of the tests."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from localcluster import LocalCluster
from resolver.envoy import Envoy, run_envoy
from resolver.in_process import RunningResolver, run_resolver
from resolver.stub_service import ReusedStubService, StubService, in_thread, route_of
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


@pytest.fixture(scope="module")
def reused_stub_service(module_namespace: str, independent_client: IndependentClient) -> ReusedStubService:
    """The service of the module."""
    return ReusedStubService(independent_client, module_namespace)


@pytest.fixture
def stub_service(reused_stub_service: ReusedStubService) -> Iterator[StubService]:
    """A service with three pods and no links, which the test may change."""
    with reused_stub_service.use() as made:
        yield made


@pytest_asyncio.fixture
async def resolver(cluster: LocalCluster, stub_service: StubService) -> AsyncIterator[RunningResolver]:
    """A resolver of the namespace with default settings."""
    async with run_resolver(cluster.kubeconfig, namespaces=(stub_service.namespace,)) as made:
        yield made


@pytest_asyncio.fixture
async def envoy(cluster: LocalCluster, stub_service: StubService) -> AsyncIterator[Envoy]:
    """A client of the resolver's gRPC services; alice is linked to pod 2."""
    await in_thread(stub_service.link, "alice", 2)
    async with run_envoy(cluster.kubeconfig, route_of(stub_service), namespaces=(stub_service.namespace,)) as envoy:
        yield envoy
