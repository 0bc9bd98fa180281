"""The alerts and the dashboard: Prometheus takes them, each does what it is for, and each has its page."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.promtool import Promtool

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/monitoring"
RUNBOOKS = ROOT / "docs/runbooks"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))

#: In a page, what each is to tell; in this order.
SECTIONS = ["## What it means", "## What it does to people", "## How to look", "## How to mend it"]


def expressions(panels: list[dict[str, Any]] = DASHBOARD["panels"]) -> Iterator[str]:
    """What the dashboard asks for, with a value for each of its variables."""
    for panel in panels:
        for target in panel.get("targets", []):
            yield target["expr"].replace("$__rate_interval", "5m").replace("$namespace", ".*").replace("$route", ".*")


def test_prometheus_takes_the_rules(promtool: Promtool) -> None:
    assert promtool.verdict("check", "rules", FOLDER / "alerts.yaml") == ""


def test_each_alert_fires_when_it_should_and_is_quiet_otherwise(promtool: Promtool) -> None:
    assert promtool.verdict("test", "rules", FOLDER / "alerts_test.yaml") == ""


def test_each_alert_has_a_test() -> None:
    tests = (FOLDER / "alerts_test.yaml").read_text(encoding="utf-8")
    assert [rule["alert"] for rule in RULES if rule["alert"] not in tests] == []


def test_prometheus_takes_what_the_dashboard_asks_for(promtool: Promtool, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(expressions())]
    assert len(rules) > 20
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    assert promtool.verdict("check", "rules", file) == ""


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
    pages = {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == {rule["alert"] for rule in RULES}


def test_no_two_panels_share_a_place_or_a_number() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken
        taken |= cells
