"""The number of links of a test: small by default, full with `STATEFULROUTE_LONG`."""

import os


def scaled(daily: int, full: int) -> int:
    """Returns the default number, or the full one if `STATEFULROUTE_LONG` is set."""
    return full if os.environ.get("STATEFULROUTE_LONG") else daily
