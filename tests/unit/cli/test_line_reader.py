"""Reading lines from blocks that end anywhere."""

import asyncio
import os
import threading

import pytest

from statefulroute.cli.line_reader import MAX_LINE_BYTES, read_lines


async def read(*blocks: bytes) -> list[tuple[int, bytes | None]]:
    """Returns the lines of a pipe into which these blocks are written, one after the other."""
    reading, writing = os.pipe()

    def write() -> None:
        for block in blocks:
            os.write(writing, block)
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        return [(line.number, line.text) async for line in read_lines(reading)]
    finally:
        writer.join()
        os.close(reading)


@pytest.mark.parametrize(
    ("blocks", "lines"),
    [
        ((), []),
        ((b"one\n",), [(1, b"one")]),
        ((b"one\ntwo",), [(1, b"one"), (2, b"two")]),
        ((b"o", b"ne\nt", b"wo\n"), [(1, b"one"), (2, b"two")]),
        ((b"\n\nthree\n",), [(1, b""), (2, b""), (3, b"three")]),
        ((b"a" * (MAX_LINE_BYTES + 1) + b"\ntwo\n",), [(1, None), (2, b"two")]),
        ((b"a" * MAX_LINE_BYTES * 3, b"\ntwo\n"), [(1, None), (2, b"two")]),
        ((b"a" * MAX_LINE_BYTES * 2,), [(1, None)]),
        ((b"a" * MAX_LINE_BYTES + b"\n",), [(1, b"a" * MAX_LINE_BYTES)]),
    ],
    ids=["empty", "one", "no-end", "parted", "blank", "long", "very-long", "long-end", "longest"],
)
async def test_reads_complete_numbered_lines_of_bounded_length(
    blocks: tuple[bytes, ...], lines: list[tuple[int, bytes | None]]
) -> None:
    assert await read(*blocks) == lines


async def test_silent_pipe_does_not_block_the_event_loop() -> None:
    reading, writing = os.pipe()
    try:
        waiting = asyncio.ensure_future(anext(read_lines(reading)))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        os.write(writing, b"one\n")
        assert (await waiting).text == b"one"
    finally:
        os.close(reading)
        os.close(writing)
