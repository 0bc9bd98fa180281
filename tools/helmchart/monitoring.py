"""The alerts and the dashboard: copied as they are, for a chart can only read files of its own."""

from collections.abc import Iterator
from pathlib import Path

FILES = ("alerts.yaml", "dashboard.json")


def monitoring_files(root: Path) -> Iterator[tuple[Path, str]]:
    """Each file: its path below the chart's folder, and its text.

    Args:
        root: The repository's root.
    """
    for name in FILES:
        if not (root / "deploy" / "monitoring" / name).exists():
            continue
        yield Path("files") / name, (root / "deploy" / "monitoring" / name).read_text(encoding="utf-8")
