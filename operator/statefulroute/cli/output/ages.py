"""Formats ages and remaining times as kubectl does."""

from datetime import datetime

from statefulroute.cli.output.table import EMPTY
from statefulroute.domain.times import parse_time

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86_400, 365 * 86_400

#: The two units of an age below each limit in seconds; the second unit is 0 if there is only one.
_UNITS = (
    (2 * _MINUTE, (1, "s"), (0, "")),
    (10 * _MINUTE, (_MINUTE, "m"), (1, "s")),
    (3 * _HOUR, (_MINUTE, "m"), (0, "")),
    (8 * _HOUR, (_HOUR, "h"), (_MINUTE, "m")),
    (2 * _DAY, (_HOUR, "h"), (0, "")),
    (8 * _DAY, (_DAY, "d"), (_HOUR, "h")),
    (2 * _YEAR, (_DAY, "d"), (0, "")),
    (8 * _YEAR, (_YEAR, "y"), (_DAY, "d")),
)


def age(since: str | None, now: datetime) -> str:
    """Returns the age since a time of an object: `90s`, `5m10s`, `3d4h`.

    Args:
        since: the time, in RFC 3339.
        now: the present time.
    """
    start = parse_time(since)
    return EMPTY if start is None else _label(max(0, int((now - start).total_seconds())))


def time_left(end: datetime, now: datetime) -> str:
    """Returns the time until another one, as an age: `90s`, `34m`; empty if it has come."""
    seconds = int((end - now).total_seconds())
    return _label(seconds) if seconds > 0 else ""


def _label(seconds: int) -> str:
    for limit, (unit, letter), (subunit, subunit_letter) in _UNITS:
        if seconds < limit:
            rest = seconds % unit // subunit if subunit else 0
            return f"{seconds // unit}{letter}" + (f"{rest}{subunit_letter}" if rest else "")
    return f"{seconds // _YEAR}y"
