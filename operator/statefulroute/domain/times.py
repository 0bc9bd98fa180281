"""Formats and parses the times of objects."""

from datetime import UTC, datetime
from typing import NamedTuple, Self

import msgspec


class TimeInterval(NamedTuple):
    """The time now by two clocks that may differ.

    What ends has ended when the earlier clock reaches its end, and what starts now starts at the time of the later one.
    So a wrong clock can make things last longer, but never shorter.

    Attributes:
        earliest: the time of the clock that is behind.
        latest: the time of the clock that is ahead.
    """

    earliest: datetime
    latest: datetime

    @classmethod
    def at(cls, time: datetime) -> Self:
        """Returns the time of two clocks that agree."""
        return cls(time, time)


def format_rfc3339(time: datetime) -> str:
    """Returns a time in the format of Kubernetes."""
    return time.isoformat().replace("+00:00", "Z")


def parse_time(text: str | None) -> datetime | None:
    """Parses a time of an object; returns None if it is invalid, which the API server does not fully prevent."""
    if text is None:
        return None
    try:
        time = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
