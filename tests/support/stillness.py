"""Seeing that something stays as it is."""

import time
from collections.abc import Callable

POLL_SECONDS = 0.2


def stays(condition: Callable[[], object], what: str, *, seconds: float = 3.0) -> None:
    """See that `holds()` is true for a while, and at the end of it.

    Raises:
        AssertionError: It was not; the message says what should have stayed.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"it did not stay so: {what}"
        time.sleep(POLL_SECONDS)
    assert condition(), f"it did not stay so: {what}"
