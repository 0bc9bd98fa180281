"""Waits until the caches of a driver are read for the first time."""

import asyncio
from collections.abc import Iterable
from typing import Any

from statefulroute.cluster.reflector import Reflector
from statefulroute.domain.errors import DeadlineExceededError
from statefulroute.driver.operation_log import forbidden


async def wait_first_sync(reflectors: Iterable[Reflector[Any]], seconds: float) -> None:
    """Waits until the first lists are complete.

    Args:
        reflectors: the reflectors of the caches.
        seconds: the time limit.

    Raises:
        ForbiddenError: the API server does not permit one of the lists.
        DeadlineExceededError: the time is over.
    """
    waiting = list(reflectors)
    synced = {asyncio.create_task(reflector.synced.wait()) for reflector in waiting}
    refused = {asyncio.create_task(reflector.refused.wait()) for reflector in waiting}
    try:
        async with asyncio.timeout(seconds):
            pending, refusals = set(synced), set(refused)
            while pending:
                done, _ = await asyncio.wait(pending | refusals, return_when=asyncio.FIRST_COMPLETED)
                _raise_refusal(waiting)
                pending, refusals = pending - done, refusals - done
    except TimeoutError:
        missing = ", ".join(reflector.path for reflector in waiting if not reflector.synced.is_set())
        raise DeadlineExceededError(
            f"the API server did not answer within {seconds:g} s: {missing} was not read"
        ) from None
    finally:
        for task in synced | refused:
            task.cancel()


def _raise_refusal(reflectors: Iterable[Reflector[Any]]) -> None:
    for reflector in reflectors:
        if reflector.refusal is not None and not reflector.synced.is_set():
            raise forbidden(reflector.refusal) from reflector.refusal
