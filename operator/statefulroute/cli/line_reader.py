"""Reading lines from a file or a pipe while other work goes on."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass

#: No link's line is nearly as long; what is longer is not kept.
MAX_LINE_BYTES = 65_536

_BLOCK = 65_536


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        number: its number, from 1.
        text: what it says, without its end; None where it is longer than `MOST_BYTES`.
        bytes_read: how many bytes were read by then.
    """

    number: int
    text: bytes | None
    bytes_read: int


async def read_lines(descriptor: int) -> AsyncIterator[Line]:
    """Each line of an open file, the last one also where it has no end."""
    rest, is_too_long, number, read = b"", False, 0, 0
    while block := await _block(descriptor):
        read += len(block)
        *lines, rest = (rest + block).split(b"\n")
        for text in lines:
            number += 1
            yield Line(number, None if is_too_long or len(text) > MAX_LINE_BYTES else text, read)
            is_too_long = False
        if len(rest) > MAX_LINE_BYTES:
            rest, is_too_long = b"", True
    if rest or is_too_long:
        yield Line(number + 1, None if is_too_long else rest, read)


async def _block(descriptor: int) -> bytes:
    """The next bytes; a pipe, or a person, may let them wait for long."""
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or os.isatty(descriptor):
        is_readable = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, is_readable.set)
        try:
            await is_readable.wait()
        finally:
            loop.remove_reader(descriptor)
    return os.read(descriptor, _BLOCK)
