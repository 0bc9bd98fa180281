"""Ages."""

from datetime import UTC, datetime, timedelta

import pytest

from statefulroute.cli.output.ages import age
from statefulroute.domain.times import parse_time

NOW = datetime(2026, 1, 10, tzinfo=UTC)
_HOUR, _DAY = 3600, 86_400


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (310, "5m10s"),
        (600, "10m"),
        (3 * _HOUR - 1, "179m"),
        (3 * _HOUR + 60, "3h1m"),
        (9 * _HOUR, "9h"),
        (2 * _DAY, "2d"),
        (3 * _DAY + 4 * _HOUR, "3d4h"),
        (100 * _DAY, "100d"),
        (3 * 365 * _DAY + 5 * _DAY, "3y5d"),
        (9 * 365 * _DAY, "9y"),
    ],
)
def test_age_has_the_format_of_kubectl(seconds: int, expected: str) -> None:
    since = (NOW - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    assert age(since, NOW) == expected


@pytest.mark.parametrize("since", [None, "", "yesterday", "2026-13-01T00:00:00Z"])
def test_age_of_a_missing_or_invalid_time_is_a_dash(since: str | None) -> None:
    assert age(since, NOW) == "-"


def test_time_without_a_zone_is_in_utc() -> None:
    assert parse_time("2026-01-10T00:00:00") == parse_time("2026-01-10T01:00:00+01:00") == NOW
