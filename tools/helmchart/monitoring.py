"""Copies the alerts and the dashboard into the chart, which can only read its own files."""

from collections.abc import Iterator
from pathlib import Path

FILES = ("alerts.yaml", "dashboard.json")


def monitoring_files(root: Path) -> Iterator[tuple[Path, str]]:
    """Yields each file: its path in the chart's folder, and its text.

    Args:
        root: The repository's root.
    """
    for name in FILES:
        if not (root / "deploy" / "monitoring" / name).exists():
            continue
        yield Path("files") / name, (root / "deploy" / "monitoring" / name).read_text(encoding="utf-8")
