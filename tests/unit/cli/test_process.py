"""Running a process."""

import gc
from collections.abc import Iterator

import pytest
import structlog

from statefulroute.cli.process import run_process


@pytest.fixture(autouse=True)
def _restored_garbage_collector() -> Iterator[None]:
    """Restore the garbage collector after the test."""
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


def test_garbage_collector_does_not_examine_imported_modules() -> None:
    object_counts: list[int] = []

    async def main() -> None:
        object_counts.append(len(gc.get_objects()))

    imported = [[number] for number in range(10_000)]  # stands for modules: those of the tests are frozen already
    before = len(gc.get_objects())
    run_process(main, (), structlog.get_logger())
    assert object_counts[0] < before / 10
    assert len(imported) < before
