"""Tests that docs/reference/status.md has every phase and reason of links, and every condition and reason of routes."""

from enum import StrEnum
from pathlib import Path

import pytest

from statefulroute.api.vocabulary import ConditionType, LinkPhase, LinkReason, RouteReason

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "status.md"


def cells(title: str) -> set[str]:
    """Returns the code in the tables of a section."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {title}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return {word for row in rows for word in row.split("|")[1].split("`")[1::2]}


@pytest.mark.parametrize(
    ("title", "kind"),
    [("Links", LinkPhase), ("Links", LinkReason), ("Routes", ConditionType), ("Routes", RouteReason)],
)
def test_page_has_every_member(title: str, kind: type[StrEnum]) -> None:
    assert {member.value for member in kind} - {"Unknown"} - cells(title) == set()
