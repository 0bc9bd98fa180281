"""Reads the alerts and the dashboard from `deploy/monitoring`, and their Prometheus queries."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DIRECTORY = ROOT / "deploy/monitoring"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DIRECTORY / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((DIRECTORY / "dashboard.json").read_text(encoding="utf-8"))


def panel_queries() -> Iterator[str]:
    """Yields the queries of the panels, with values for their variables."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield _with_values(target["expr"])


def alert_queries() -> Iterator[str]:
    """Yields the query of each alert."""
    return (rule["expr"] for rule in RULES)


def scaler_queries() -> Iterator[str]:
    """Yields the queries by which other scalers count links, of any namespace."""
    scaled_object = yaml.safe_load((ROOT / "deploy/autoscaling/keda.yaml").read_text(encoding="utf-8"))
    queries = (trigger["metadata"]["query"] for trigger in scaled_object["spec"]["triggers"])
    return (query.replace('namespace="play"', 'namespace=~".*"') for query in queries)


def variable_queries() -> Iterator[str]:
    """Yields the queries of the dashboard's variables."""
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield _with_values(variable["query"]["query"])


def _with_values(expression: str) -> str:
    return expression.replace("$__rate_interval", "5m").replace("$namespace", ".*").replace("$route", ".*")
