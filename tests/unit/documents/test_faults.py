"""Tests that each fault in docs/reference/faults.md is covered by existing tests."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "faults.md"
#: A link to tests: the path of their file, and their names.
TESTS = re.compile(r'\]\(([^ )]+) "([^"]+)"\)')


def rows() -> list[list[str]]:
    """Returns the cells of each row of the tables, without their headers."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    heads = ("| fault |", "| --- |")
    return [
        line.removeprefix("| ").removesuffix(" |").split(" | ")
        for line in lines
        if line.startswith("| ") and not line.startswith(heads)
    ]


def test_every_row_has_three_cells() -> None:
    assert len(rows()) >= 55
    assert [row for row in rows() if len(row) != 3 or not all(row)] == []


def test_every_fault_names_existing_tests() -> None:
    tests = {row[0]: TESTS.findall(row[-1]) for row in rows()}
    assert [fault for fault, named in tests.items() if not named] == []
    named = [(name, file) for links in tests.values() for file, names in links for name in names.split(", ")]
    assert [name for name, file in named if not _is_defined(name, file)] == []


def _is_defined(name: str, file: str) -> bool:
    path = (PAGE.parent / file).resolve()
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return re.search(rf"^(async )?def {name}\(", text, re.MULTILINE) is not None
