"""Histories and rates that the screen of `top` shows; pure."""

from collections import deque
from collections.abc import Hashable, Mapping, Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(fractions: Sequence[float | None], width: int) -> str:
    """Returns the latest fractions as a line of blocks, the last one on the right.

    Args:
        fractions: numbers from 0 to 1; None is a space.
        width: the number of columns.
    """
    blocks = "".join(
        " " if fraction is None else _BLOCKS[min(int(max(fraction, 0.0) * len(_BLOCKS)), len(_BLOCKS) - 1)]
        for fraction in fractions[-width:]
    )
    return blocks.rjust(width)


class Trends:
    """The latest samples of several things.

    Args:
        length: how many samples of each are kept.
    """

    def __init__(self, length: int = 60) -> None:
        self._length = length
        self._samples: dict[Hashable, deque[float | None]] = {}

    def record(self, samples: Mapping[Hashable, float | None]) -> None:
        """Record a sample of each thing; things without a sample are forgotten."""
        for key in self._samples.keys() - samples.keys():
            del self._samples[key]
        for key, sample in samples.items():
            self._samples.setdefault(key, deque(maxlen=self._length)).append(sample)

    def of(self, key: Hashable) -> Sequence[float | None]:
        """Returns the samples of a thing, the latest one last."""
        return [*self._samples.get(key, ())]


class Rates:
    """How often things happen, over the last seconds.

    Args:
        start: the time of the first second.
        window_seconds: how many seconds count.
    """

    def __init__(self, start: float, window_seconds: float = 60.0) -> None:
        self._start = start
        self._window = window_seconds
        self._times: dict[str, deque[float]] = {}

    def record(self, name: str, now: float) -> None:
        """Record that something happens now."""
        self._times.setdefault(name, deque()).append(now)

    def per_second(self, name: str, now: float) -> float:
        """Returns how often a thing has happened per second."""
        times = self._times.get(name, deque())
        while times and times[0] <= now - self._window:
            times.popleft()
        return len(times) / max(1.0, min(self._window, now - self._start))
