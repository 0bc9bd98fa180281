"""Waiting for what a cluster does a moment later."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.1


def eventually(condition: Callable[[], object], what: str, *, seconds: float = 60.0) -> None:
    """Wait until `holds()` is true.

    Raises:
        TimeoutError: It was not true in time; the message says what was awaited.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:.0f} s still not: {what}")
        time.sleep(POLL_SECONDS)


def settled(read: Callable[[], T], what: str, *, seconds: float) -> T:
    """Wait until what is seen has stayed the same for so long; gives it.

    Raises:
        TimeoutError: It went on changing; the message says what was awaited.
    """
    last, since = read(), time.monotonic()

    def is_still() -> bool:
        nonlocal last, since
        if (now := read()) != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since >= seconds

    eventually(is_still, what)
    return last
