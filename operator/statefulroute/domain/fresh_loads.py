"""Which loads are fresh, updated load by load and as time passes."""

import heapq
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from statefulroute.domain.keys import PodKey, pod_sort_key
from statefulroute.domain.load import Load


class FreshLoads:
    """The pods of a route whose load is fresh.

    A heap has one entry for each pod: the time of a report at or before that of its last one. It is replaced when the
    load of that report would be stale, so that a report costs nothing until then.

    Args:
        loads: the last load of each pod, as a live view.
        stale_after_seconds: how old a fresh load is at most.
        now: the current time.
    """

    def __init__(self, loads: Mapping[PodKey, Load], stale_after_seconds: int, now: datetime) -> None:
        self._loads = loads
        self._stale_after_seconds = stale_after_seconds
        self._stale_after = timedelta(seconds=stale_after_seconds)
        self._now = now
        self._fresh: set[PodKey] = set()
        self._heap: list[tuple[datetime, tuple[int, str], PodKey]] = []
        self._times: dict[PodKey, datetime] = {}
        """The time of each pod's entry in the heap."""
        for key in loads:
            self.update(key)

    def __contains__(self, key: object) -> bool:
        return key in self._fresh

    def update(self, key: PodKey) -> None:
        """Handles a load that was reported or forgotten."""
        load = self._loads.get(key)
        if load is None or not load.is_fresh(self._stale_after_seconds, self._now):
            self._fresh.discard(key)
            return
        self._fresh.add(key)
        time, known = load.report.time, self._times.get(key)
        if known is None or time < known:
            self._times[key] = time
            heapq.heappush(self._heap, (time, pod_sort_key(key), key))

    def advance(self, now: datetime) -> AbstractSet[PodKey]:
        """Moves to the current time; returns the pods whose load is not fresh any more.

        If the clock was set back, they are also the pods whose load is fresh again.
        """
        if now < self._now:
            before = set(self._fresh)
            self._now = now
            for key in self._loads:
                self.update(key)
            return before ^ self._fresh
        self._now = now
        stale: set[PodKey] = set()
        while self._heap and now - self._heap[0][0] > self._stale_after:
            time, _, key = heapq.heappop(self._heap)
            if self._times.get(key) != time:
                continue  # the pod has an earlier entry, which came first
            del self._times[key]
            was_fresh = key in self._fresh
            self.update(key)
            if was_fresh and key not in self._fresh:
                stale.add(key)
        return stale

    def next_check(self) -> datetime | None:
        """Returns the time after which the next load may not be fresh any more; None if none is fresh."""
        return self._heap[0][0] + self._stale_after if self._heap else None
