"""Pages and examples name the version of the project, which `make generate` writes."""

import re
from pathlib import Path

import pytest

from release.mentions import main, outdated, with_version

ROOT = Path(__file__).parents[3]

MENTIONS = [
    "make image IMAGE=registry.example/statefulroute:{}",
    "docker push registry.example/statefulroute-bundle:{}",
    "(`registry.example/charts/statefulroute-crds:{}`)",
    "helm install statefulroute statefulroute/statefulroute --version {} --wait",
    "helm push dist/statefulroute-{}.tgz oci://registry.example/charts",
    "release.yaml@refs/tags/v{}",
    "ln -s ~/.krew/store/statefulroute/v{}/kubectl-statefulroute",
    "newTag: {}",
    "  - name: statefulroute\n    version: {}\n",
]
OTHERS = [
    "An upgrade from 0.1.0 renames the ClusterRoles",
    "charts/main/statefulroute --version 0.0.0-main-1a2b3c4d5e6f",
    "helm install cert-manager cert-manager/cert-manager --version 1.2.3",
]


@pytest.mark.parametrize("version", ["1.2.3", "1.2.3-rc.1"])
@pytest.mark.parametrize("former", ["0.1.0", "0.2.0-rc.10"])
@pytest.mark.parametrize("mention", MENTIONS)
def test_each_mention_gets_the_version(mention: str, former: str, version: str) -> None:
    assert with_version(mention.format(former), version) == mention.format(version)


@pytest.mark.parametrize("text", OTHERS)
def test_other_versions_stay(text: str) -> None:
    assert with_version(text, "1.2.3") == text


def test_pages_and_examples_name_the_version_of_the_project() -> None:
    assert [path for path, _ in outdated(ROOT)] == []


def test_files_of_a_new_version_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.2.0-rc.1"\n')
    names = ("README.md", "docs/guides/air-gap.md", "examples/chat/Dockerfile", "examples/sidecar/statefulset.yaml")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("statefulroute:0.1.0\n")
    assert main(["--check", str(tmp_path)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == len(names)
    assert main([str(tmp_path)]) == 0
    assert {(tmp_path / name).read_text() for name in names} == {"statefulroute:0.2.0-rc.1\n"}
    assert main(["--check", str(tmp_path)]) == 0


def test_no_command_and_no_file_name_on_a_page_has_a_version_that_is_not_written() -> None:
    named = re.compile(r"statefulroute\S*[:/-]v?\d+\.\d+\.\d+|statefulroute --version (?!0\.0\.0-main)")
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    lines = [line for page in pages for line in page.read_text(encoding="utf-8").splitlines() if named.search(line)]
    assert lines
    assert [line for line in lines if with_version(line, "9.9.9") == line] == []
