"""Namespaces that a test has for itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from harness.kubectl import Kubectl
from harness.operator import OperatorSeat
from harness.patience import eventually
from harness.witness import PodLink, StatefulRoute, Witness


@contextmanager
def fresh_namespace(kubectl: Kubectl) -> Iterator[str]:
    """The name of a namespace that nothing else uses; it is deleted at the end, without waiting for it."""
    created = kubectl.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "test-"}})
    name = str(created["metadata"]["name"])
    try:
        yield name
    finally:
        kubectl.run("delete", "namespace", name, "--wait=false").expect_success()


@contextmanager
def quiet_namespace(kubectl: Kubectl, witness: Witness, seat: OperatorSeat) -> Iterator[str]:
    """The name of a namespace that nothing else uses; nothing in it makes work for an operator afterwards."""
    with fresh_namespace(kubectl) as name:
        yield name
        witness.delete_all(PodLink, name)
        for route in witness.all(StatefulRoute, name):
            route_name = route["metadata"]["name"]
            witness.delete(StatefulRoute, route_name, name)
            if route["metadata"].get("finalizers") and not seat.is_taken:
                witness.patch(StatefulRoute, route_name, name, {"metadata": {"finalizers": None}})
        eventually(lambda: not witness.all(StatefulRoute, name), "the routes are gone")
