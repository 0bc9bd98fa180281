"""The time of tests that may have to build something."""

from collections.abc import Iterable

import pytest


def extend_timeouts(items: Iterable[pytest.Item], fixtures: set[str], seconds: float) -> None:
    """Gives the tests with one of these fixtures this time, in seconds."""
    for item in items:
        if fixtures & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.timeout(seconds))
