"""docs/security.md: each threat is held by tests that exist."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "security.md"
TEST = re.compile(r"\[`(test_\w+)`\]\(([^)]+)\)")


def threats() -> dict[str, list[tuple[str, str]]]:
    """The tests of each threat: their names, and where they are said to be."""
    table = PAGE.read_text(encoding="utf-8").partition("## Threats")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return {threat: TEST.findall(tests) for threat, _, tests in rows[2:]}


@pytest.mark.parametrize("threat", threats())
def test_a_threat_is_held_by_tests_that_exist(threat: str) -> None:
    named = threats()[threat]
    assert named != []
    for name, file in named:
        text = (PAGE.parent / file).resolve().read_text(encoding="utf-8")
        assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), f"{name} in {file}"


def test_the_table_is_read() -> None:
    assert len(threats()) >= 20
