"""Waits for conditions of a cluster and checks that conditions keep holding."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.2

#: Much is done within milliseconds. The pause doubles up to `POLL_SECONDS`, or to what the caller gives.
_FIRST_PAUSE_SECONDS = 0.025

_STAYS_POLL_SECONDS = 0.2
_ASYNC_POLL_SECONDS = 0.02


def eventually(
    condition: Callable[[], object], what: str, *, seconds: float = 60.0, poll_seconds: float = POLL_SECONDS
) -> None:
    """Waits until `condition()` is true.

    Args:
        condition: What to wait for.
        what: The same in words.
        seconds: How long to wait at most.
        poll_seconds: The longest pause between two calls: less for a moment that passes, more for what takes long.

    Raises:
        TimeoutError: The condition was not true in time; the message contains `what`.
    """
    deadline = time.monotonic() + seconds
    asked_at, pause = time.monotonic(), _FIRST_PAUSE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:.0f} s still not: {what}")
        # At least as long as the condition took, so that it occupies the API server at most half of the time.
        time.sleep(max(pause, time.monotonic() - asked_at))
        asked_at, pause = time.monotonic(), min(2 * pause, poll_seconds)


async def wait_until(condition: Callable[[], object], what: str, *, seconds: float = 20.0) -> None:
    """Waits until `condition()` is true, while the event loop runs. The condition must not block.

    Raises:
        TimeoutError: The condition was not true in time; the message contains `what`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:g} s still not: {what}")
        await asyncio.sleep(_ASYNC_POLL_SECONDS)


async def wait_until_in_thread(condition: Callable[[], object], what: str, *, seconds: float = 20.0) -> None:
    """Waits until `condition()` is true, and calls it in a thread, because it blocks.

    Raises:
        TimeoutError: The condition was not true in time; the message contains `what`.
    """
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:g} s still not: {what}")
        await asyncio.sleep(_ASYNC_POLL_SECONDS)


def settled(read: Callable[[], T], what: str, *, seconds: float) -> T:
    """Waits until `read()` has returned the same value for this many seconds, and returns the value.

    Raises:
        TimeoutError: The value kept changing; the message contains `what`.
    """
    last, since = read(), time.monotonic()

    def is_settled() -> bool:
        nonlocal last, since
        if (now := read()) != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since >= seconds

    eventually(is_settled, what)
    return last


def stays(
    condition: Callable[[], object], what: str, *, seconds: float = 3.0, poll_seconds: float = _STAYS_POLL_SECONDS
) -> None:
    """Checks that `condition()` is true for this many seconds, the end included.

    Args:
        condition: What must stay true.
        what: The same in words.
        seconds: How long.
        poll_seconds: The pause between two calls: `seconds` for what is never true again once it was false.

    Raises:
        AssertionError: The condition was false once; the message contains `what`.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"it did not stay so: {what}"
        time.sleep(max(0.0, min(poll_seconds, deadline - time.monotonic())))
    assert condition(), f"it did not stay so: {what}"
