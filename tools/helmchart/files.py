"""Lists all generated files of the charts."""

from collections.abc import Iterator
from pathlib import Path

from helmchart.chart_file import OLDEST_KUBERNETES, chart_file
from helmchart.crds import crds_and_policies
from helmchart.crds_chart import crds_chart
from helmchart.patterns import pattern_checks
from helmchart.presence import presence_checks
from helmchart.rbac import rbac_rules
from helmchart.readme import readme
from helmchart.schema import values_schema
from helmchart.values import Values
from helmchart.values_file import values_file

CHART = Path("charts/statefulroute")
CRDS_CHART = Path("charts/statefulroute-crds")

#: Copied into the chart, which can only read its own files.
_MONITORING_FILES = ("alerts.yaml", "dashboard.json")


def generated_files(root: Path) -> Iterator[tuple[Path, str]]:
    """Yields every generated file: its path in the repository, and its text."""
    for path, text in _chart_files(root):
        yield CHART / path, text
    for path, text in crds_chart(root):
        yield CRDS_CHART / path, text


def _chart_files(root: Path) -> Iterator[tuple[Path, str]]:
    yield Path("Chart.yaml"), chart_file(root)
    yield Path("README.md"), readme(OLDEST_KUBERNETES)
    yield Path("values.yaml"), values_file(Values())
    yield Path("values.schema.json"), values_schema()
    yield from crds_and_policies()
    yield rbac_rules()
    yield pattern_checks()
    yield presence_checks()
    yield from _monitoring_files(root)


def _monitoring_files(root: Path) -> Iterator[tuple[Path, str]]:
    """Yields each file: its path in the chart's folder, and its text.

    Args:
        root: The repository's root.
    """
    for name in _MONITORING_FILES:
        if not (root / "deploy" / "monitoring" / name).exists():
            continue
        yield Path("files") / name, (root / "deploy" / "monitoring" / name).read_text(encoding="utf-8")
