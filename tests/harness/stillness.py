"""Seeing that something stays as it is."""

import time
from collections.abc import Callable

PAUSE_SECONDS = 0.2


def stays(holds: Callable[[], object], what: str, *, seconds: float = 3.0) -> None:
    """See that `holds()` is true for a while, and at the end of it.

    Raises:
        AssertionError: It was not; the message says what should have stayed.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert holds(), f"it did not stay so: {what}"
        time.sleep(PAUSE_SECONDS)
    assert holds(), f"it did not stay so: {what}"
