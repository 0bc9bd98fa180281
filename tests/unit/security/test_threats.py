"""Tests that each threat in docs/reference/security.md is covered by existing tests."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "security.md"
#: A link to tests: the path of their file, and their names.
TESTS = re.compile(r'\]\((\.\./\.\./tests/[^ )]+) "([^"]+)"\)')


def threats() -> dict[str, list[tuple[str, str]]]:
    """Returns the name and the file of each test, by threat."""
    table = PAGE.read_text(encoding="utf-8").partition("## Threats")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return {
        threat: [(name, file) for file, names in TESTS.findall(tests) for name in names.split(", ")]
        for threat, _, tests in rows[2:]
    }


@pytest.mark.parametrize("threat", threats())
def test_threat_is_covered_by_existing_tests(threat: str) -> None:
    tests = threats()[threat]
    assert tests != []
    for name, file in tests:
        text = (PAGE.parent / file).resolve().read_text(encoding="utf-8")
        assert re.search(rf"^ *(async )?def {name}\(", text, re.MULTILINE), f"{name} in {file}"


def test_table_has_rows() -> None:
    assert len(threats()) >= 20
