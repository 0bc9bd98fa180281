"""The support table of docs/reference/versions.md lists the minor versions of the changelog."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROW = re.compile(r"^\| (\d+\.\d+) \| ([^|]+) \| [^|]+ \| [^|]+ \|$", re.MULTILINE)
VERSION = re.compile(r"^## (\d+\.\d+)\.0 \(([\d-]+)\)$", re.MULTILINE)


def test_each_minor_version_is_in_the_table_of_releases() -> None:
    rows = dict(ROW.findall((ROOT / "docs/reference/versions.md").read_text(encoding="utf-8")))
    released = dict(VERSION.findall((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")))
    assert released
    missing = [version for version, date in released.items() if date[:4] not in rows.get(version, "")]
    assert missing == [], "add the row and the date of this version to docs/reference/versions.md"
