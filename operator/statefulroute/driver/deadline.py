"""The time limit of an operation."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from statefulroute.domain.errors import DeadlineExceededError


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """Limits the time of the context.

    Raises:
        DeadlineExceededError: the time is over. A shorter time limit of the caller raises its own error.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise DeadlineExceededError(f"the API server did not answer within {seconds:g} s") from error
