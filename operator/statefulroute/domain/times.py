"""Times as Kubernetes writes them, and as anybody may have written them."""

from datetime import UTC, datetime

import msgspec


def format_rfc3339(time: datetime) -> str:
    """A time as Kubernetes writes it."""
    return time.isoformat().replace("+00:00", "Z")


def parse_time(text: str | None) -> datetime | None:
    """A time of an object; None where it is none: the API server's own check lets some through that are none."""
    if text is None:
        return None
    try:
        time = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
