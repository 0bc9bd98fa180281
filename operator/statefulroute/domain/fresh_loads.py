"""Which loads are fresh, updated load by load and as time passes."""

import heapq
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from statefulroute.domain.keys import PodKey, pod_sort_key
from statefulroute.domain.load import Load

#: Up to so many loads, all are compared each time. Most routes have few pods, and need no heap.
_MAX_SCANNED_LOADS = 4


class FreshLoads:
    """The pods of a route whose load is fresh.

    With more than a few loads, a heap has one entry for each pod: the time of a report at or before that of its last
    one. It is replaced when the load of that report would be stale, so that a report costs nothing until then.

    Args:
        loads: the last load of each pod, as a live view.
        stale_after_seconds: how old a fresh load is at most.
        now: the current time.
    """

    __slots__ = ("_heap", "_loads", "_now", "_stale_after")

    def __init__(self, loads: Mapping[PodKey, Load], stale_after_seconds: int, now: datetime) -> None:
        self._loads = loads
        self._stale_after = timedelta(seconds=stale_after_seconds)
        self._now = now
        self._heap: _ReportHeap | None = None
        self._use_heap_if_many()

    def __contains__(self, key: object) -> bool:
        load = self._loads.get(key)  # type: ignore[call-overload] # a key of another type is not in it
        return load is not None and self._now - load.report.time <= self._stale_after

    def update(self, key: PodKey) -> None:
        """Handles a load that was reported or forgotten."""
        if self._heap is None:
            self._use_heap_if_many()
        elif key in self:
            self._heap.add(key, self._loads[key].report.time)

    def advance(self, now: datetime) -> AbstractSet[PodKey]:
        """Moves to the current time; returns the pods whose load is not fresh any more.

        If the clock was set back, they are also the pods whose load is fresh again.
        """
        if self._heap is None or now < self._now:
            fresh = {key for key in self._loads if key in self}
            self._now = now
            for key in self._loads if self._heap is not None else ():
                self.update(key)
            return fresh ^ {key for key in self._loads if key in self}
        former = {key for key in self._heap.pop_before(now - self._stale_after) if key in self}
        self._now = now
        for key in former:
            self.update(key)
        return {key for key in former if key not in self}

    def next_check(self) -> datetime | None:
        """Returns the time after which the next load may not be fresh any more; None if none is fresh."""
        if self._heap is None:
            times = (self._loads[key].report.time for key in self._loads if key in self)
            first = min(times, default=None)
        else:
            first = self._heap.first
        return None if first is None else first + self._stale_after

    def _use_heap_if_many(self) -> None:
        if len(self._loads) > _MAX_SCANNED_LOADS:
            self._heap = _ReportHeap()
            for key in self._loads:
                self.update(key)


class _ReportHeap:
    """The times of reports: one of each pod, at or before that of its last report."""

    __slots__ = ("_entries", "_times")

    def __init__(self) -> None:
        self._entries: list[tuple[datetime, tuple[int, str], PodKey]] = []
        self._times: dict[PodKey, datetime] = {}
        """The time of each pod's entry."""

    @property
    def first(self) -> datetime | None:
        """The first time; None if there is none."""
        return self._entries[0][0] if self._entries else None

    def add(self, key: PodKey, time: datetime) -> None:
        """Adds the time of a pod's report, unless the pod has an earlier one."""
        known = self._times.get(key)
        if known is None or time < known:
            self._times[key] = time
            heapq.heappush(self._entries, (time, pod_sort_key(key), key))

    def pop_before(self, limit: datetime) -> list[PodKey]:
        """Removes all times before a limit, and returns their pods."""
        keys: list[PodKey] = []
        while self._entries and self._entries[0][0] < limit:
            time, _, key = heapq.heappop(self._entries)
            if self._times.get(key) == time:  # otherwise, the pod has an earlier entry, which came first
                del self._times[key]
                keys.append(key)
        return keys
