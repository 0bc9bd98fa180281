"""The alerts and the dashboard: Prometheus takes them, each does what it is for, and each has its page."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from monitoring.shipped import DASHBOARD, DIRECTORY, ROOT, RULES, panel_queries
from statefulroute.cli.app import app
from support.promtool import Promtool

RUNBOOKS = ROOT / "docs/runbooks"

#: In what promtool complains of: what a test expects, and what it found instead.
EXPECTED = re.compile(r"exp: ?(.*?)got:", re.DOTALL)
FOUND = re.compile(r"got: ?(.*?)(?=\n\n|\Z)", re.DOTALL)

#: In a page, what each is to tell; in this order.
SECTIONS = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]


PAGES = sorted(RUNBOOKS.glob("*.md"))
SOURCE = " ".join(file.read_text(encoding="utf-8") for file in (ROOT / "operator").rglob("*.py"))


def commands() -> set[str]:
    """Each use of the command `kubectl statefulroute` in a page, without these two words."""
    found = re.compile(r"(?:^    |`)kubectl statefulroute ([^`\n]+)", re.MULTILINE)
    return {words for page in PAGES for words in found.findall(page.read_text(encoding="utf-8"))}


def test_prometheus_takes_the_rules(promtool: Promtool) -> None:
    assert promtool.run("check", "rules", DIRECTORY / "alerts.yaml") == ""


def test_each_alert_fires_when_it_should_and_is_quiet_otherwise(promtool: Promtool) -> None:
    assert promtool.run("test", "rules", DIRECTORY / "alerts_test.yaml") == ""


def test_an_alert_that_never_fires_is_found_out(promtool: Promtool, tmp_path: Path) -> None:
    missed = " ".join(EXPECTED.findall(verdict_on(promtool, tmp_path, "vector(1) < 0")))
    assert [rule["alert"] for rule in RULES if f'alertname="{rule["alert"]}"' not in missed] == []


def test_an_alert_that_always_fires_is_found_out(promtool: Promtool, tmp_path: Path) -> None:
    false = " ".join(FOUND.findall(verdict_on(promtool, tmp_path, "vector(1)")))
    assert [rule["alert"] for rule in RULES if f'alertname="{rule["alert"]}"' not in false] == []


def verdict_on(promtool: Promtool, folder: Path, expression: str) -> str:
    """What the tests of the alerts say when each alert rests on this expression, and does not wait."""
    tests = DIRECTORY / "alerts_test.yaml"
    rules = [{**rule, "expr": expression, "for": "0s"} for rule in RULES]
    groups = {"groups": [{"name": "broken", "rules": rules}]}
    (folder / "alerts.yaml").write_text(yaml.safe_dump(groups), encoding="utf-8")
    broken = folder / tests.name
    broken.write_text(tests.read_text(encoding="utf-8"), encoding="utf-8")
    return promtool.run("test", "rules", broken)


def test_prometheus_takes_what_the_dashboard_asks_for(promtool: Promtool, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(panel_queries())]
    assert len(rules) > 20
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    assert promtool.run("check", "rules", file) == ""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"StatefulRoute[A-Z]\w+", rule["alert"])
    assert rule["labels"]["severity"] in {"critical", "warning"}
    said = rule["annotations"]
    assert said.keys() == {"summary", "description", "runbook_url"}
    assert said["summary"].endswith(".")
    assert said["runbook_url"] == f"https://statefulroute.io/docs/runbooks/{rule['alert']}.md"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_has_a_page_that_tells_all_of_it(rule: dict[str, Any]) -> None:
    lines = (RUNBOOKS / f"{rule['alert']}.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == f"# {rule['alert']}"
    assert rule["annotations"]["summary"] in lines
    assert [line for line in lines if line.startswith("## ")] == SECTIONS


def test_each_page_is_of_an_alert() -> None:
    assert {page.stem for page in PAGES} == {rule["alert"] for rule in RULES}


def test_each_alert_is_in_the_list_of_the_documentation() -> None:
    page = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| [StatefulRoute")]
    assert rows == [_row(rule) for rule in RULES]


def _row(rule: dict[str, Any]) -> str:
    """The row of an alert in the documentation."""
    name = rule["alert"]
    return f"| [{name}](runbooks/{name}.md) | {rule['labels']['severity']} | {rule['annotations']['summary']} |"


@pytest.mark.parametrize("command", sorted(commands()))
def test_each_command_of_a_page_is_one_that_there_is_with_these_options(command: str) -> None:
    found = CliRunner().invoke(app, [*command.split(), "--help"])  # which is told after the options were understood
    assert found.exit_code == 0, found.output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_quotes_no_line_of_the_log_that_is_not_written(page: Path) -> None:
    paragraphs = page.read_text(encoding="utf-8").split("\n\n")
    quoted = [
        " ".join(words.split())
        for paragraph in paragraphs
        if " log" in paragraph and not paragraph.startswith("    ")
        for words in re.findall(r"`([^`]+)`", paragraph)
        if re.fullmatch(r"[a-z']+([\s:]+[a-z']+)+", words)
    ]
    assert [words for words in quoted if words not in SOURCE] == []


def test_no_two_panels_share_a_place_or_a_number() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken
        taken |= cells
