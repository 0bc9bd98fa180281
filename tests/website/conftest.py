"""The documentation site as `make docs` builds it."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site. The first build installs what it needs."""
    folder = tmp_path_factory.mktemp("site")
    command = ["make", "--no-print-directory", "docs", f"SITE={folder}"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    return folder
