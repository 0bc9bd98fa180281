"""Fixtures for tests of admission: an API server that stores nothing."""

from collections.abc import Iterator

import pytest

from support.api_user import APIUser
from support.judge import Judge
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace


@pytest.fixture(scope="module")
def empty(installed: Kubectl) -> Iterator[Kubectl]:
    """A kubectl in an empty namespace. Tests only send dry-run requests to it."""
    with fresh_namespace(installed) as name:
        yield installed.within(name)


@pytest.fixture(scope="module")
def judge(empty: Kubectl) -> Judge:
    """Judges objects in an empty namespace."""
    return Judge(APIUser.of(empty.kubeconfig, str(empty.namespace)))
