"""The lines of a watch are read as they arrive, and several at a time while many arrive."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest

from statefulroute.cluster.watch_lines import read_lines


class Body:
    """The body of a watch: pieces, each with the seconds until it arrives. It records what the reader does."""

    def __init__(self, *pieces: tuple[float, bytes]) -> None:
        self.done: list[str] = []
        self.now = 100.0
        self._pieces = pieces
        self.content = self

    async def iter_any(self) -> AsyncIterator[bytes]:
        for seconds, piece in self._pieces:
            self.now += seconds
            yield piece

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.done.append(f"sleep {seconds}")

    async def read(self) -> Sequence[str]:
        """Reads the whole body."""
        async for line in read_lines(cast("Any", self), lambda: self.now, self.sleep):
            self.done.append(line.decode())
        return self.done


async def test_lines_may_arrive_in_any_pieces() -> None:
    body = Body((0, b"a\nb"), (0, b"c\n\n"), (0, b"d"), (0, b"\n"))
    assert await body.read() == ["a", "bc", "d"]


@pytest.mark.parametrize("per_second", [1, 100, 300])
async def test_single_lines_are_read_as_they_arrive(per_second: int) -> None:
    body = Body(*[(1 / per_second, b"a\n")] * 1000)
    assert set(await body.read()) == {"a"}


async def test_while_many_lines_arrive_the_next_ones_are_awaited_together() -> None:
    done = await Body(*[(0.001, b"a\n")] * 1000).read()
    assert done.count("a") == 1000
    first = done.index("sleep 0.008")
    assert done[first - 1 : first + 2] == ["a", "sleep 0.008", "a"]
    assert 30 < first < 45  # 1,000 lines a second are noticed after about 40 ms


async def test_single_lines_are_read_as_they_arrive_again_after_many() -> None:
    many, few = [(0.001, b"a\n")] * 1000, [(0.2, b"b\n")] * 10
    done = await Body(*many, *few).read()
    assert done[-10:] == ["b"] * 10


async def test_a_backlog_is_read_without_a_pause() -> None:
    done = await Body(*[(0.001, b"a\n" * 100)] * 100).read()
    assert set(done) == {"a"}
