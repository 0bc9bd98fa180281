"""A fixture for tests of admission: an API server that stores nothing."""

from collections.abc import Iterator

import pytest

from support.kubectl import Kubectl
from support.namespaces import fresh_namespace


@pytest.fixture(scope="session")
def judge(installed: Kubectl) -> Iterator[Kubectl]:
    """Returns a kubectl in an empty namespace. Tests only send dry-run requests to it."""
    with fresh_namespace(installed) as name:
        yield installed.within(name)
