"""The size of a test: small by default, full with `STATEFULROUTE_LONG`."""

import os

#: Whether the tests run in their long form.
IS_LONG = bool(os.environ.get("STATEFULROUTE_LONG"))


def scaled(daily: int, full: int) -> int:
    """Returns the default number, or the full one in the long form."""
    return full if IS_LONG else daily
