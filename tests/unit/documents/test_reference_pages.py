"""The generated pages of the reference contain what they describe, and a stale page is found."""

import shutil
from pathlib import Path

import pytest

from referencepages.__main__ import main, pages

ROOT = Path(__file__).parents[3]
PAGES = {path.name: text for path, text in pages(ROOT)}


@pytest.mark.parametrize(
    ("page", "line"),
    [
        ("commands.md", "    kubectl statefulroute move [OPTIONS] {ROUTE} {UID} {POD}"),
        ("commands.md", "| `POD <str>` | The pod: its index or its name. [required] |"),
        ("commands.md", "| `--timeout DURATION` | How long to wait; 0 is without end. [default: 0] |"),
        (
            "commands.md",
            "| [`check`](#check) | Find problems and how to fix them; the exit code is 1 if there are any. |",
        ),
        (
            "chart-values.md",
            "| `replicas` | `2` | Pods of the operator: one leads, the others stand by with synced caches. |",
        ),
        ("alerts.md", "No operator is the leader. Severity: critical, after 1m."),
        ("alerts.md", "max by (namespace, job) (statefulroute_leader) == 0 or absent(statefulroute_leader)"),
        ("resolver-api.md", "    DELETE /v1/namespaces/{namespace}/routes/{route}/links/{uid}"),
        ("resolver-api.md", "| 401 | The caller is not authenticated. | [Problem](#problem) |  |"),
        ("sidecar-api.md", "| `holder` | [PodReference](#podreference) | required |  |"),
    ],
)
def test_page_contains(page: str, line: str) -> None:
    assert f"\n{line}\n" in PAGES[page]


def test_check_names_a_stale_page_and_does_not_change_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("docs", "deploy/monitoring"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    assert main(["--check", str(tmp_path)]) == 0
    stale = tmp_path / "docs/reference/commands.md"
    stale.write_text("old", encoding="utf-8")
    assert main(["--check", str(tmp_path)]) == 1
    assert "docs/reference/commands.md differs" in capsys.readouterr().err
    assert stale.read_text(encoding="utf-8") == "old"
    assert main([str(tmp_path)]) == 0
    assert stale.read_text(encoding="utf-8") == PAGES["commands.md"]
