"""Prometheus accepts the alerts and the dashboard, each alert fires when it should, and each has a runbook."""

import re
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from monitoring.manifests import DASHBOARD, DIRECTORY, ROOT, RULES, panel_queries
from statefulroute.cli.app import app
from support.promtool import Promtool

RUNBOOKS = ROOT / "docs/runbooks"

#: The expected and the actual result in promtool's output.
EXPECTED = re.compile(r"exp: ?(.*?)got:", re.DOTALL)
ACTUAL = re.compile(r"got: ?(.*?)(?=\n\n|\Z)", re.DOTALL)

#: The sections of a runbook, in this order.
SECTIONS = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]

PAGES = sorted(RUNBOOKS.glob("*.md"))
SOURCE = " ".join(file.read_text(encoding="utf-8") for file in (ROOT / "operator").rglob("*.py"))


def commands() -> set[str]:
    """Returns the arguments of each `kubectl statefulroute` command in the runbooks."""
    pattern = re.compile(r"(?:^    |`)kubectl statefulroute ([^`\n]+)", re.MULTILINE)
    return {arguments for page in PAGES for arguments in pattern.findall(page.read_text(encoding="utf-8"))}


def test_prometheus_accepts_the_alerts(promtool: Promtool) -> None:
    assert promtool.run("check", "rules", DIRECTORY / "alerts.yaml") == ""


def test_alerts_fire_as_their_tests_expect(promtool: Promtool) -> None:
    assert promtool.run("test", "rules", DIRECTORY / "alerts_test.yaml") == ""


def test_the_alert_tests_detect_an_alert_that_never_fires(promtool: Promtool, tmp_path: Path) -> None:
    missed = " ".join(EXPECTED.findall(run_alert_tests_with(promtool, tmp_path, "vector(1) < 0")))
    assert [rule["alert"] for rule in RULES if f'alertname="{rule["alert"]}"' not in missed] == []


def test_the_alert_tests_detect_an_alert_that_always_fires(promtool: Promtool, tmp_path: Path) -> None:
    false = " ".join(ACTUAL.findall(run_alert_tests_with(promtool, tmp_path, "vector(1)")))
    assert [rule["alert"] for rule in RULES if f'alertname="{rule["alert"]}"' not in false] == []


def run_alert_tests_with(promtool: Promtool, folder: Path, expression: str) -> str:
    """Runs the tests of the alerts with another expression and no delay in every alert; returns promtool's output.

    Neither the alerts nor the tests have annotations: a difference between annotations detects nothing here, and to
    expand those of every alert at each moment takes most of the time.
    """
    rules = [{**rule, "expr": expression, "for": "0s", "annotations": {}} for rule in RULES]
    groups = {"groups": [{"name": "broken", "rules": rules}]}
    (folder / "alerts.yaml").write_text(yaml.safe_dump(groups), encoding="utf-8")
    tests = yaml.safe_load((DIRECTORY / "alerts_test.yaml").read_text(encoding="utf-8"))
    for test in tests["tests"]:
        for alert in chain.from_iterable(each.get("exp_alerts", ()) for each in test.get("alert_rule_test", ())):
            alert.pop("exp_annotations", None)
    (folder / "alerts_test.yaml").write_text(yaml.safe_dump(tests), encoding="utf-8")
    return promtool.run("test", "rules", folder / "alerts_test.yaml")


def test_prometheus_accepts_the_queries_of_the_dashboard(promtool: Promtool, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(panel_queries())]
    assert len(rules) > 20
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    assert promtool.run("check", "rules", file) == ""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_has_a_severity_and_annotations(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"StatefulRoute[A-Z]\w+", rule["alert"])
    assert rule["labels"]["severity"] in {"critical", "warning"}
    annotations = rule["annotations"]
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    assert annotations["summary"].endswith(".")
    assert annotations["runbook_url"] == f"https://statefulroute.io/latest/runbooks/{rule['alert']}/"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_has_a_runbook_with_all_sections(rule: dict[str, Any]) -> None:
    lines = (RUNBOOKS / f"{rule['alert']}.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == f"# {rule['alert']}"
    assert rule["annotations"]["summary"] in lines
    assert [line for line in lines if line.startswith("## ")] == SECTIONS


def test_each_runbook_belongs_to_an_alert() -> None:
    assert {page.stem for page in PAGES} == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("command", sorted(commands()))
def test_each_command_of_a_runbook_exists_with_its_options(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"])  # help is printed after the options are parsed
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_runbook_quotes_only_existing_log_lines(page: Path) -> None:
    paragraphs = page.read_text(encoding="utf-8").split("\n\n")
    quoted = [
        " ".join(quote.split())
        for paragraph in paragraphs
        if " log" in paragraph and not paragraph.startswith("    ")
        for quote in re.findall(r"`([^`]+)`", paragraph)
        if re.fullmatch(r"[a-z']+([\s:]+[a-z']+)+", quote)
    ]
    assert [quote for quote in quoted if quote not in SOURCE] == []


def test_no_two_panels_share_a_position_or_an_id() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    occupied: set[tuple[int, int]] = set()
    for panel in panels:
        position = panel["gridPos"]
        cells = {(position["x"] + x, position["y"] + y) for x in range(position["w"]) for y in range(position["h"])}
        assert not cells & occupied
        occupied |= cells
