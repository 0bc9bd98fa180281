"""Tests the rules with workflows that keep them, and with workflows that violate them."""

from typing import Any

import pytest

from mcp.record import Workflow
from mcp.rules import hand_overs, violations
from support.link_recorder import Version


def link(pod: int | None, event: str = "MODIFIED", to: int | None = None) -> Version:
    """Returns a version of the link of a notebook."""
    spec = {} if pod is None else {"podIndex": pod}
    hand_over = {} if to is None else {"handOver": {"podIndex": to}}
    return Version(event, {"metadata": {"name": "notebooks.7f3a"}, "spec": {**spec, **hand_over}})


LINKS = {"notebooks.7f3a": [link(0, "ADDED"), link(0, to=1), link(1), link(1, "DELETED")]}


def workflow(**fields: Any) -> Workflow:
    """Returns a workflow that has met nothing wrong."""
    good = {"notebook": "7f3a", "calls": 10, "pods": ["notebooks-0", "notebooks-1"]}
    return Workflow(way="nginx", client="2026-07-28", **{**good, **fields})


@pytest.mark.parametrize(
    "fields", [{}, {"pods": ["notebooks-0"]}, {"pods": ["notebooks-1"]}, {"pods": []}, {"retried": 3}]
)
def test_good_workflow_keeps_the_rules(fields: dict[str, Any]) -> None:
    assert list(violations([workflow(**fields)], LINKS, "notebooks")) == []
    assert hand_overs(LINKS) == 1


@pytest.mark.parametrize(
    ("fields", "violation"),
    [
        ({"not_found": 2}, "2 calls did not find it"),
        ({"wrong": ["2 lines are 1 at notebooks-1"]}, "2 lines are 1 at notebooks-1"),
        ({"failed": ["502: b''"]}, "502: b''"),
        ({"pods": ["notebooks-2"]}, "answered by ['notebooks-2'], and linked to ['notebooks-0', 'notebooks-1']"),
        (
            {"pods": ["notebooks-1", "notebooks-0"]},
            "answered by ['notebooks-1', 'notebooks-0'], and linked to ['notebooks-0', 'notebooks-1']",
        ),
        ({"notebook": "other", "pods": ["notebooks-0"]}, "answered by ['notebooks-0'], and linked to []"),
    ],
)
def test_violation_is_found(fields: dict[str, Any], violation: str) -> None:
    (found,) = violations([workflow(**fields)], LINKS, "notebooks")
    assert found.endswith(f" by nginx: {violation}")
