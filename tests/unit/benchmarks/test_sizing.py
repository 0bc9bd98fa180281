"""The rule for memory covers everything that was measured, and the chart's resources follow from it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from measuring.comparison import load_results
from measuring.sizing import MeasuredMemory, measured_memory, mebibytes_at_the_peak, mebibytes_of_the_limit

ROOT = Path(__file__).parents[3]
MEASURED = tuple(measured_memory(load_results(ROOT / "benchmarks/results")))


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "charts/statefulroute/values.yaml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("each", MEASURED, ids=str)
def test_rule_covers_what_was_measured(each: MeasuredMemory) -> None:
    assert each.mebibytes <= mebibytes_at_the_peak(each.links, each.routes)


def test_rule_is_not_wasteful_where_memory_counts() -> None:
    largest = max(MEASURED, key=lambda each: each.mebibytes)
    assert mebibytes_at_the_peak(largest.links, largest.routes) < 1.2 * largest.mebibytes


def test_chart_has_room_for_what_the_documentation_says(values: dict[str, Any]) -> None:
    for component in (values, values["resolver"]):
        resources = component["resources"]
        requested, limit = (int(resources[kind]["memory"].removesuffix("Mi")) for kind in ("requests", "limits"))
        assert requested >= mebibytes_at_the_peak(100_000, 10)
        assert limit >= max(mebibytes_of_the_limit(250_000, 10), mebibytes_of_the_limit(100_000, 9_000))
