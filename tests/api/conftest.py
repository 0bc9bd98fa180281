"""The judge of the tables: a real API server that keeps nothing of what it is shown."""

from collections.abc import Iterator

import pytest

from support.kubectl import Kubectl
from support.namespaces import fresh_namespace


@pytest.fixture(scope="session")
def judge(installed: Kubectl) -> Iterator[Kubectl]:
    """A kubectl in a namespace that stays empty: tables of cases only try objects out in it."""
    with fresh_namespace(installed) as name:
        yield installed.within(name)
