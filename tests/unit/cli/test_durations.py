"""Durations of options."""

import pytest

from statefulroute.cli.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("300", 300), ("0", 0), ("1.5", 1.5), ("5m", 300), ("1h30m", 5400), ("90s", 90), ("1.5h", 5400), ("500ms", 0.5)],
)
def test_durations_are_seconds_or_those_of_kubectl(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "5 m", "5d", "-5", "-5m", "inf", "nan", "5m!", "1h30"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)
