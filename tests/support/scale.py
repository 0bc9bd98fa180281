"""How many links a test is run with: few enough for every day, or as many as it is meant for."""

import os


def scaled(daily: int, full: int) -> int:
    """The number for every day, or the full one where `STATEFULROUTE_LONG` is set."""
    return full if os.environ.get("STATEFULROUTE_LONG") else daily
