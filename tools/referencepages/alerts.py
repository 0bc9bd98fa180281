"""The page of the alerts, with their expressions."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from referencepages.markdown import head, prose


def alerts_page(rules: Path) -> str:
    """Returns the page, in Markdown.

    Args:
        rules: The file of alerting rules.
    """
    groups: list[dict[str, Any]] = yaml.safe_load(rules.read_text(encoding="utf-8"))["groups"]
    return "\n".join([head("Alerts", "deploy/monitoring/alerts.yaml"), _INTRODUCTION, *_sections(groups)])


#: A longer expression has its operands on lines of their own.
_WIDTH = 84

_INTRODUCTION = """\
[Monitoring](monitoring.md#alerts) describes how they are installed. A runbook has the meaning of its alert, its impact,
and what to do.
"""


def _sections(groups: list[dict[str, Any]]) -> Iterator[str]:
    for alert in (rule for group in groups for rule in group["rules"]):
        name, notes = alert["alert"], alert["annotations"]
        yield f"## {name}\n"
        yield f"{prose(notes['summary'])} Severity: {alert['labels']['severity']}, after {alert.get('for', '0s')}."
        yield f"[Runbook](../runbooks/{name}.md).\n"
        yield "```promql"
        yield _lines(alert["expr"].strip())
        yield "```\n"


def _lines(expression: str) -> str:
    return re.sub(r" (and|or|unless|/) ", r"\n\1 ", expression) if len(expression) > _WIDTH else expression
