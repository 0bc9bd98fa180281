"""The last hour of each route, in samples of fixed size."""

from array import array
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise

import msgspec

from statefulroute.domain.keys import RouteKey

#: The time between two samples, and the number of samples in an hour.
STEP_SECONDS, _SAMPLES = 15, 240

_NO_LOAD = -1


class Sample(msgspec.Struct, frozen=True, gc=False):
    """A route at one moment.

    Attributes:
        key: the route.
        links: the number of its links.
        load: its mean load; None if no pod reports any.
        bound: how many links were bound since the console was started.
        moved: how many links were moved since then.
    """

    key: RouteKey
    links: int
    load: int | None
    bound: int
    moved: int


class HistoryView(msgspec.Struct, frozen=True):
    """The last hour of a route; the lists have the same length, the latest sample is the last.

    Attributes:
        times: in seconds of Unix time.
        links: the number of links.
        load: the mean load; None if no pod reported any.
        bound: links that were bound, per minute.
        moved: links that were moved, per minute.
    """

    times: list[int]
    links: list[int]
    load: list[int | None]
    bound: list[int]
    moved: list[int]


class History:
    """The last hour of all routes: four numbers for each sample of a route."""

    def __init__(self) -> None:
        self._times: deque[int] = deque(maxlen=_SAMPLES)
        self._samples: dict[RouteKey, array[int]] = {}

    def record(self, now: datetime, samples: Iterable[Sample]) -> None:
        """Record a sample of each route; routes without one are forgotten."""
        self._times.append(int(now.timestamp()))
        recorded: dict[RouteKey, array[int]] = {}
        for sample in samples:
            values = recorded[sample.key] = self._samples.get(sample.key) or array("q")
            load = _NO_LOAD if sample.load is None else sample.load
            values.extend((sample.links, load, sample.bound, sample.moved))
            if len(values) > 4 * _SAMPLES:
                del values[:4]
        self._samples = recorded

    def of_route(self, key: RouteKey) -> HistoryView:
        """Returns the last hour of a route, or the time since it is known."""
        values = self._samples.get(key) or array("q")
        number = len(values) // 4
        return HistoryView(
            times=[*self._times][-number:] if number else [],
            links=[*values[0::4]],
            load=[None if load == _NO_LOAD else load for load in values[1::4]],
            bound=_per_minute(values[2::4]),
            moved=_per_minute(values[3::4]),
        )


def _per_minute(totals: "array[int]") -> list[int]:
    """Returns the rates between successive totals; the first sample has none, so that it is 0.

    The totals of a route that was deleted and created again begin at 0 again.
    """
    differences = (after - before if after >= before else after for before, after in pairwise(totals))
    return [0, *(each * 60 // STEP_SECONDS for each in differences)] if totals else []
