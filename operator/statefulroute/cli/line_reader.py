"""Reads lines from a file or a pipe without blocking the event loop."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

from statefulroute.monitoring.daemon_threads import run_in_daemon_thread

#: The maximum length of a line, far above that of any link; longer lines are not kept in memory.
MAX_LINE_BYTES = 65_536

_BLOCK_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        number: its number, from 1.
        text: its bytes, without the newline; None if it is longer than `MAX_LINE_BYTES`.
        bytes_read: how many bytes of the file have been read so far.
    """

    number: int
    text: bytes | None
    bytes_read: int


async def read_lines(descriptor: int) -> AsyncIterator[Line]:
    """Yields each line of an open file; the last line may lack its newline."""
    rest, is_too_long, number, bytes_read = b"", False, 0, 0
    while block := await _read_block(descriptor):
        bytes_read += len(block)
        *lines, rest = (rest + block).split(b"\n")
        for text in lines:
            number += 1
            yield Line(number, None if is_too_long or len(text) > MAX_LINE_BYTES else text, bytes_read)
            is_too_long = False
        if len(rest) > MAX_LINE_BYTES:
            rest, is_too_long = b"", True
    if rest or is_too_long:
        yield Line(number + 1, None if is_too_long else rest, bytes_read)


async def _read_block(descriptor: int) -> bytes:
    """Returns the next bytes. Waits in a thread: on Windows, an event loop cannot wait for those of a pipe.

    If the command is interrupted, its process ends without waiting for the thread.
    """
    return await run_in_daemon_thread(partial(os.read, descriptor, _BLOCK_BYTES), "read-lines")
