"""The generated files, and the command that writes and checks them."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from statefulroute.api.__main__ import generated_files, main

ROOT = Path(__file__).parents[3]
FILES = dict(generated_files())
MANIFESTS = [path for path in FILES if path.suffix == ".yaml"]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A directory with all generated files."""
    assert main([str(tmp_path)]) == 0
    return tmp_path


@pytest.mark.parametrize("path", FILES, ids=str)
def test_committed_file_equals_the_generated_text(path: Path) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == FILES[path]


@pytest.mark.parametrize("directory", ["crds", "deploy/admission", "deploy/rbac"])
def test_directory_contains_only_generated_files(directory: str) -> None:
    assert {path.name for path in (ROOT / directory).iterdir()} == {
        path.name for path in FILES if path.parent == Path(directory)
    }


@pytest.mark.parametrize("path", FILES, ids=str)
def test_file_starts_with_the_generated_header(path: Path) -> None:
    head = "\n".join(FILES[path].splitlines()[:3])
    assert "Generated from the types in operator/statefulroute/api by `make generate`. Do not edit." in head


def test_page_of_fields_has_short_names_and_default_values() -> None:
    page = FILES[Path("docs/reference/fields.md")]
    assert "`statefulroutes`, `statefulroute` and `sr`" in page
    assert "`podlinks`, `podlink` and `pl`" in page
    for row in (
        "| `onPodLost.suspend.nodesPercent` | integer; default `55`<br>",
        "| `pods[].index` | integer; required<br>",
        "| `workloadRef.kind` | string; default `StatefulSet`<br>",
        "| `port` | integer or string<br>",
        "| `routingState` | `Ready`, `DenyNewCall`, `Shutdown`; default `Ready`<br>",
    ):
        assert f"\n{row}" in page


@pytest.mark.parametrize("path", MANIFESTS, ids=str)
def test_file_is_plain_yaml(path: Path) -> None:
    documents = list(yaml.safe_load_all(FILES[path]))
    assert documents
    assert all({"apiVersion", "kind", "metadata"} <= set(document) for document in documents)
    assert "!!" not in FILES[path]
    assert not any(token in FILES[path] for token in ("&id", "*id"))


def test_check_passes_after_writing(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["--check", str(written)]) == 0
    assert capsys.readouterr() == ("", "")


def test_only_changed_files_are_written(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (written / "crds/podlinks.yaml").write_text("old", encoding="utf-8")
    capsys.readouterr()
    assert main([str(written)]) == 0
    assert capsys.readouterr().out == "wrote crds/podlinks.yaml\n"
    assert (written / "crds/podlinks.yaml").read_text(encoding="utf-8") == FILES[Path("crds/podlinks.yaml")]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_check_names_a_stale_file_and_does_not_change_it(
    written: Path, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = FILES[path] + "# edited by hand\n"
    (written / path).write_text(stale, encoding="utf-8")
    assert main(["--check", str(written)]) == 1
    assert capsys.readouterr().err == f"{path} differs from the types: run `make generate` and commit it\n"
    assert (written / path).read_text(encoding="utf-8") == stale


def test_check_names_a_missing_file(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (written / "crds/statefulroutes.yaml").unlink()
    assert main(["--check", str(written)]) == 1
    assert "crds/statefulroutes.yaml differs from the types" in capsys.readouterr().err
    assert not (written / "crds/statefulroutes.yaml").exists()


def test_command_exits_with_1_on_a_stale_file(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "statefulroute.api", "--check", tmp_path], capture_output=True, text=True, check=False
    )
    assert process.returncode == 1
    assert process.stderr.count("differs from the types") == len(FILES)
