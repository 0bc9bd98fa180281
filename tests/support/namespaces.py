"""Namespaces for single tests."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pykube

from support.independent_client import IndependentClient, PodLink, StatefulRoute
from support.kubectl import Kubectl
from support.operator_process import OperatorSlot
from support.waiting import eventually

#: Whether the cluster remains after the tests. If not, an empty namespace is not worth its deletion, for which the
#: API server gets a hundred requests.
_CLUSTER_REMAINS = bool(os.environ.get("STATEFULROUTE_KUBECONFIG"))


@contextmanager
def fresh_namespace(kubectl: Kubectl, *, deletes: bool = True) -> Iterator[str]:
    """Creates a namespace and yields its name; deletes it at the end without waiting, unless `deletes` is false."""
    namespace = pykube.Namespace(_client(kubectl.kubeconfig).http, {"metadata": {"generateName": "test-"}})
    namespace.create()
    try:
        yield namespace.name
    finally:
        if deletes:
            namespace.delete()


@contextmanager
def drained_namespace(
    kubectl: Kubectl, independent_client: IndependentClient, operator_slot: OperatorSlot
) -> Iterator[str]:
    """Creates a namespace and yields its name; at the end, removes everything in it that an operator works on."""
    with fresh_namespace(kubectl, deletes=_CLUSTER_REMAINS) as name:
        yield name
        independent_client.delete_all(PodLink, name)
        for route in independent_client.all(StatefulRoute, name):
            route_name = route["metadata"]["name"]
            independent_client.delete(StatefulRoute, route_name, name)
            if route["metadata"].get("finalizers") and not operator_slot.is_occupied:
                independent_client.patch(StatefulRoute, route_name, name, {"metadata": {"finalizers": None}})
        eventually(lambda: not independent_client.all(StatefulRoute, name), "the routes are deleted")


@cache
def _client(kubeconfig: Path) -> IndependentClient:
    """Returns a client of a cluster; it is faster than kubectl, and there are hundreds of namespaces."""
    return IndependentClient(kubeconfig)
