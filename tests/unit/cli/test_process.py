"""How a process of ours runs."""

import gc
from collections.abc import Iterator

import pytest
import structlog

from statefulroute.cli.process import run_process


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """Leave the collector as it was."""
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


def test_the_collector_does_not_look_through_what_was_imported() -> None:
    left: list[int] = []

    async def main() -> None:
        left.append(len(gc.get_objects()))

    before = len(gc.get_objects())
    run_process(main, (), structlog.get_logger())
    assert left[0] < before / 10
