"""The source archive of the Python package: its unit tests run from it, and it has nothing of the chart."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the unpacked archive."""
    folder = tmp_path_factory.mktemp("package")
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([uv, "build", "--quiet", "--sdist", "--out-dir", folder, ROOT], check=True)
    (packed,) = folder.glob("statefulroute-*.tar.gz")
    with tarfile.open(packed) as opened:
        opened.extractall(folder, filter="data")
    return folder / packed.name.removesuffix(".tar.gz")


def run_pytest(archive: Path, *arguments: str) -> str:
    """Runs pytest, which need not rewrite the assertions of hundreds of new files to explain them."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--quiet", "--assert=plain", *arguments],
        cwd=archive,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def test_archive_has_no_part_of_the_chart(archive: Path) -> None:
    assert {path.name for path in archive.iterdir()} >= {"operator", "crds", "tests", "LICENSE", "README.md"}
    assert not (archive / "charts").exists()
    assert not list(archive.rglob("*.tpl"))


def test_all_its_unit_tests_can_be_imported(archive: Path) -> None:
    run_pytest(archive, "--collect-only", "-p", "no:syrupy", "tests/unit")  # it fails on snapshots that are unused


def test_unit_tests_of_the_rules_run_from_it(archive: Path) -> None:
    where = "import statefulroute; print(statefulroute.__file__)"
    used = subprocess.run(
        [sys.executable, "-c", where], cwd=archive / "operator", capture_output=True, text=True, check=True
    )
    assert used.stdout.startswith(str(archive))
    run_pytest(
        archive, "tests/unit/domain/test_slot_hashing.py", "tests/unit/domain/test_decision.py", "tests/unit/api"
    )


@pytest.mark.parametrize("label", ["Documentation", "Source", "Issues", "Changelog"])
def test_metadata_has_the_addresses_of_the_project(archive: Path, label: str) -> None:
    assert f"Project-URL: {label}, https://" in (archive / "PKG-INFO").read_text()
