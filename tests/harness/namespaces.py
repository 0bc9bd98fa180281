"""Namespaces that a test has for itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from harness.kubectl import Kubectl


@contextmanager
def fresh_namespace(kubectl: Kubectl) -> Iterator[str]:
    """The name of a namespace that nothing else uses; it is deleted at the end, without waiting for it."""
    created = kubectl.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "test-"}})
    name = str(created["metadata"]["name"])
    try:
        yield name
    finally:
        kubectl.run("delete", "namespace", name, "--wait=false").expect_success()
