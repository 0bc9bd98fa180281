"""Waits until the caches of a driver are read for the first time."""

import asyncio
from collections.abc import Iterable
from typing import Any

from statefulroute.cluster.reflector import Reflector
from statefulroute.domain.errors import DeadlineExceededError
from statefulroute.driver.operation_log import forbidden


async def wait_first_sync(reflectors: Iterable[Reflector[Any]], seconds: float) -> None:
    """Waits until the first lists are complete and the watches are open.

    A watch that fails otherwise than for want of a permission is tried again later: it does not count.

    Args:
        reflectors: the reflectors of the caches.
        seconds: the time limit.

    Raises:
        ForbiddenError: the API server does not permit one of the lists or watches.
        DeadlineExceededError: the time is over before all lists are complete.
    """
    waiting = list(reflectors)
    try:
        async with asyncio.timeout(seconds):
            await _wait_all([reflector.synced for reflector in waiting], waiting)
            await _wait_all([reflector.watch_tried for reflector in waiting], waiting)
    except TimeoutError:
        missing = ", ".join(reflector.path for reflector in waiting if not reflector.synced.is_set())
        if missing:
            raise DeadlineExceededError(
                f"the API server did not answer within {seconds:g} s: {missing} was not read"
            ) from None


async def _wait_all(events: Iterable[asyncio.Event], reflectors: list[Reflector[Any]]) -> None:
    """Waits until all events are set. Raises `ForbiddenError` if the API server refuses a reflector before."""
    pending = {asyncio.create_task(event.wait()) for event in events}
    refused = {asyncio.create_task(reflector.refused.wait()) for reflector in reflectors}
    tasks = pending | refused
    try:
        while pending:
            done, _ = await asyncio.wait(pending | refused, return_when=asyncio.FIRST_COMPLETED)
            _raise_refusal(reflectors)
            pending, refused = pending - done, refused - done
    finally:
        for task in tasks:
            task.cancel()


def _raise_refusal(reflectors: Iterable[Reflector[Any]]) -> None:
    for reflector in reflectors:
        if reflector.refusal is not None:
            raise forbidden(reflector.refusal) from reflector.refusal
