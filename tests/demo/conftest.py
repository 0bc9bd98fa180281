"""A runtime folder of the demo's own."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster.programs import build
from localcluster.progress import PlainProgress


@pytest.fixture(scope="session")
def built() -> None:
    """The control plane's programs, which the first run on a machine builds in some minutes."""
    build(PlainProgress())


@pytest.fixture
def runtime(built: None) -> Iterator[Path]:  # noqa: ARG001 - it is there for its effect
    """Where the demo's cluster lives; empty when a test begins."""
    # pytest's own folders have names too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="demo-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
