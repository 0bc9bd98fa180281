"""A separate runtime folder for the demo."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster.programs import build
from localcluster.progress import PlainProgress


@pytest.fixture(scope="session")
def built() -> None:
    """Builds the control plane's programs; the first run on a machine takes some minutes."""
    build(PlainProgress())


@pytest.fixture
def runtime(built: None) -> Iterator[Path]:  # noqa: ARG001 - used for its effect
    """The runtime folder of the demo's cluster; empty at the start of a test."""
    # The names of pytest's folders are too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="demo-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
