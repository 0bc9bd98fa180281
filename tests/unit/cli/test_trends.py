"""Sparklines, histories and rates of `top`."""

import pytest

from statefulroute.cli.output.trends import Rates, Trends, sparkline


@pytest.mark.parametrize(
    ("fractions", "width", "line"),
    [
        ([0, 0.125, 0.5, 1], 4, "▁▂▅█"),
        ([0.3, 2, -1], 3, "▃█▁"),
        ([0.5, None, 0.5], 3, "▅ ▅"),
        ([0, 1], 4, "  ▁█"),
        ([0, 0, 1], 2, "▁█"),
        ([], 2, "  "),
    ],
)
def test_sparkline_shows_the_latest_fractions(fractions: list[float | None], width: int, line: str) -> None:
    assert sparkline(fractions, width) == line


def test_trends_keep_the_latest_samples_of_present_things() -> None:
    trends = Trends(length=2)
    for number in range(3):
        trends.record({"game-0": number, "game-1": None})
    assert (trends.of("game-0"), trends.of("game-1"), trends.of("game-2")) == ([1, 2], [None, None], [])
    trends.record({"game-0": 3})
    assert (trends.of("game-0"), trends.of("game-1")) == ([2, 3], [])


def test_rates_are_those_of_the_last_seconds() -> None:
    rates = Rates(start=100.0, window_seconds=10.0)
    assert rates.per_second("bound", 100.0) == 0
    for second in (100.2, 100.4, 105.0):
        rates.record("bound", second)
    assert rates.per_second("bound", 100.5) == 3  # as if a second had passed
    assert rates.per_second("bound", 105.0) == pytest.approx(0.6)
    assert rates.per_second("bound", 112.0) == pytest.approx(0.1)
    assert rates.per_second("moved", 112.0) == 0
