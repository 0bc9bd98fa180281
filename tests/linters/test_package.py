"""Runs pyroma and twine on the Python package as `make package` builds it."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from chart.releases import ROOT
from linters.findings import Exemption, expect_no_problems
from linters.programs import pyroma, twine

#: A package without a description, whose text is no valid reStructuredText.
FAULTS = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "statefulroute"
version = "1"
readme = "README.rst"

[tool.hatch.build]
only-include = ["README.rst"]
"""


def build(project: Path, folder: Path) -> Sequence[Path]:
    """Builds a source archive and a wheel; returns them, the archive first."""
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([uv, "build", "--quiet", "--out-dir", folder, project], check=True)
    return [*folder.glob("*.tar.gz"), *folder.glob("*.whl")]


def test_pyroma_and_twine_find_nothing_that_is_not_allowed(
    package_environment: Path, exemptions: list[Exemption], tmp_path: Path
) -> None:
    files = build(ROOT, tmp_path)
    assert len(files) == 2
    found = [*pyroma(package_environment, files[0]), *twine(package_environment, files)]
    expect_no_problems(found, exemptions, "pyroma", "twine")


def test_both_report_faults(package_environment: Path, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(FAULTS, encoding="utf-8")
    (tmp_path / "README.rst").write_text("`broken\n", encoding="utf-8")
    files = build(tmp_path, tmp_path / "dist")
    assert "The package had no Summary!" in {finding.message for finding in pyroma(package_environment, files[0])}
    assert {finding.rule for finding in twine(package_environment, files)} == {"twine/check"}
