"""Formats and parses the times of objects."""

from datetime import UTC, datetime

import msgspec


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
