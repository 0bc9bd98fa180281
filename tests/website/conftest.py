"""The documentation site as `make docs` builds it."""

import os
import subprocess
from pathlib import Path

import pytest

from localcluster.locks import exclusive

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site. The first build installs what it needs."""
    folder = tmp_path_factory.mktemp("site")
    command = ["make", "--no-print-directory", "docs", f"SITE={folder}"]
    # Of another make, whose tests these are: it would lend this one its job server.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    with exclusive(ROOT / "build/docs.lock", lambda _: None):  # another worker installs it at the same time
        built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    return folder
