"""How long ago something was, as kubectl says it."""

from datetime import datetime

from statefulroute.cli.output.table import EMPTY
from statefulroute.domain.times import parse_time

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86_400, 365 * 86_400

#: Below so many seconds it is told in these two units; a second unit of 0 makes it one.
_STEPS = (
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
    """How long ago a time of an object was: `90s`, `5m10s`, `3d4h`.

    Args:
        since: the time, as RFC 3339.
        now: the time of day.
    """
    began = parse_time(since)
    if began is None:
        return EMPTY
    seconds = max(0, int((now - began).total_seconds()))
    for limit, (unit, letter), (part, part_letter) in _STEPS:
        if seconds < limit:
            rest = seconds % unit // part if part else 0
            return f"{seconds // unit}{letter}" + (f"{rest}{part_letter}" if rest else "")
    return f"{seconds // _YEAR}y"
