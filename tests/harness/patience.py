"""Waiting for what a cluster does a moment later."""

import time
from collections.abc import Callable

PAUSE_SECONDS = 0.1


def eventually(holds: Callable[[], object], what: str, *, seconds: float = 60.0) -> None:
    """Wait until `holds()` is true.

    Raises:
        TimeoutError: It was not true in time; the message says what was awaited.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:.0f} s still not: {what}")
        time.sleep(PAUSE_SECONDS)
