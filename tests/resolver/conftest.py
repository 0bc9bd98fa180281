"""Resolvers on a real API server; where an operator is needed, it is a process of its own."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from harness.kubectl import Kubectl
from harness.namespaces import fresh_namespace
from harness.witness import Witness
from localcluster import LocalCluster
from resolver.place import Place
from resolver.running import Running, running


@pytest.fixture(scope="session")
def witness(cluster: LocalCluster) -> Witness:
    """A client that shares nothing with the product."""
    return Witness(cluster.kubeconfig)


@pytest.fixture(scope="module")
def place_name(installed: Kubectl) -> Iterator[str]:
    """The name of a namespace that the tests of a module use one after the other."""
    with fresh_namespace(installed) as name:
        yield name


@pytest.fixture
def place(place_name: str, witness: Witness) -> Iterator[Place]:
    """A service with three pods for this test alone."""
    made = Place(witness, place_name)
    made.make()
    yield made
    made.clear()


@pytest_asyncio.fixture
async def resolver(cluster: LocalCluster, place: Place) -> AsyncIterator[Running]:
    """A resolver of the namespace, as it is by default."""
    async with running(cluster.kubeconfig, namespaces=(place.namespace,)) as made:
        yield made
