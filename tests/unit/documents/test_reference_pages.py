"""The generated pages of the reference contain what they describe, and a stale page is found."""

import re
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from referencepages.__main__ import main, pages

ROOT = Path(__file__).parents[3]
LOCKED = re.search(r"^typer==(\S+)", (ROOT / "requirements/dev.txt").read_text(encoding="utf-8"), re.MULTILINE)

IS_LOCKED = LOCKED is not None and version("typer") == LOCKED[1]

pytestmark = pytest.mark.skipif(not IS_LOCKED, reason="the pages are generated with the locked version of typer")

PAGES = {path.name: text for path, text in pages(ROOT)} if IS_LOCKED else {}


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
        ("commands.md", "It also has the [options of the cluster](#common-options)."),
        (
            "chart-values.md",
            "| `replicas` | `2`<br>Pods of the operator: one leads, the others stand by with synced caches. |",
        ),
        ("alerts.md", "No operator is the leader. Severity: critical, after 1m."),
        ("alerts.md", "max by (namespace, job) (statefulroute_leader) == 0 or absent(statefulroute_leader)"),
        ("metrics.md", "| `statefulroute_cache_objects` | gauge, by `resource`<br>Objects in the cache. |"),
        (
            "metrics.md",
            "| `statefulroute_overdue_pods` | gauge, by `namespace`, `route`<br>Closing pods whose deadline is over. |",
        ),
        ("metrics.md", "| `statefulroute_sidecar_streams` | gauge<br>Open streams of events. |"),
        (
            "metrics.md",
            (
                "| `statefulroute_driver_lookups_total` | counter, by `namespace`, `source`<br>"
                "Look-ups of users by what answered them: the cache, or a request to the API server. |"
            ),
        ),
        ("resolver-api.md", "    DELETE /v1/namespaces/{namespace}/routes/{route}/links/{uid}"),
        ("resolver-api.md", "| 404 | The uid is not linked, or the route does not exist.<br>Headers: `Age` |"),
        ("resolver-api.md", "| 200 | OK.<br>Body: [RouteAnswer](#routeanswer)<br>Headers: `ETag`, `Age` |"),
        ("resolver-api.md", "| `If-None-Match` | header: string<br>The ETag of the body that the client has. |"),
        ("sidecar-api.md", "| `holder` | [PodReference](#podreference); required |"),
    ],
)
def test_page_contains(page: str, line: str) -> None:
    assert f"\n{line}\n" in PAGES[page]


def test_check_names_a_stale_page_and_does_not_change_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("docs", "deploy/monitoring"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for file in ("requirements/image.txt", "operator/statefulroute/console/static/vendor/packages.json"):
        (tmp_path / file).parent.mkdir(parents=True)
        shutil.copy(ROOT / file, tmp_path / file)
    assert main(["--check", str(tmp_path)]) == 0
    stale = tmp_path / "docs/reference/commands.md"
    stale.write_text("old", encoding="utf-8")
    assert main(["--check", str(tmp_path)]) == 1
    assert "docs/reference/commands.md differs" in capsys.readouterr().err
    assert stale.read_text(encoding="utf-8") == "old"
    assert main([str(tmp_path)]) == 0
    assert stale.read_text(encoding="utf-8") == PAGES["commands.md"]
