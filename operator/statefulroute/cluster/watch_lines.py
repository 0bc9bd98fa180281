"""Reads the lines of a watch: each as it arrives, and several at a time while many arrive.

To wake up for a single event costs more than to handle it: the process waits for a core, and its data is in no cache.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp

#: While more lines arrive in a second, the next ones are awaited together.
_BUSY_LINES_PER_SECOND = 400.0

#: How long they are awaited.
_PAUSE_SECONDS = 0.008

#: After this time, a line counts half in the number of lines that arrive.
_HALF_LIFE_SECONDS = 0.05

#: So many lines at a time are enough: after them, the next ones are not awaited.
_MANY_LINES = 64

#: The sum of the weights of all lines where `_BUSY_LINES_PER_SECOND` arrive.
_BUSY_WEIGHT = _BUSY_LINES_PER_SECOND * _HALF_LIFE_SECONDS / math.log(2)


async def read_lines(
    response: aiohttp.ClientResponse,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[bytes]:
    """Yields the lines of the body. aiohttp's reader of lines limits their length; this one does not."""
    incomplete, weight, last = b"", 0.0, clock()
    async for data in response.content.iter_any():
        *lines, incomplete = (incomplete + data).split(b"\n")
        now = clock()
        weight = weight * 0.5 ** ((now - last) / _HALF_LIFE_SECONDS) + len(lines)
        last = now
        for line in lines:
            if line:
                yield line
        if weight > _BUSY_WEIGHT and len(lines) < _MANY_LINES:
            await sleep(_PAUSE_SECONDS)  # the next ones gather in the buffer of the body
