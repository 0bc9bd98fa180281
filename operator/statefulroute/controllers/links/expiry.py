"""The expiry of temporary links: one heap for all of them, and no task, timer or finalizer for each link."""

import asyncio
import heapq
from collections.abc import Callable
from datetime import datetime

from statefulroute.cluster.cache import Cache
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link

#: The smallest number of entries at which outdated entries are dropped.
_MIN_COMPACTION_THRESHOLD = 1024

#: How often the clock is checked. It may jump, and a sleep does not jump with it.
_CHECK_SECONDS = 0.25


#: When a link expires, in seconds since 1970, and the link's route and name.
_Entry = tuple[float, RouteKey, str]


class ExpiryController:
    """Calls a function with each temporary link that has expired.

    Args:
        links: the cache of links; the controller listens to it once it is started.
        on_expired: called with each link that has expired.
        clock: the time of day.
    """

    def __init__(self, links: Cache[Link], on_expired: Callable[[Link], None], clock: Callable[[], datetime]) -> None:
        self._links = links
        self._on_expired = on_expired
        self._clock = clock
        self._heap: list[_Entry] = []
        self._is_listening = False
        self._compaction_threshold = _MIN_COMPACTION_THRESHOLD
        """The number of entries above which outdated ones are dropped; renewals and early deletions leave them."""

    def __len__(self) -> int:
        """Returns the number of entries, including the outdated ones."""
        return len(self._heap)

    def start(self) -> None:
        """Adds the existing links, and from now on each link that changes; it may be started again."""
        self._heap.clear()
        for key in self._links:
            self._link_changed(None, self._links.get(*key))
        if not self._is_listening:
            self._is_listening = True
            self._links.listen(self._link_changed)

    async def run(self) -> None:
        """Checks for expired links until it is cancelled."""
        self.start()
        while True:
            self.notify_expired()
            await asyncio.sleep(_CHECK_SECONDS)

    def notify_expired(self) -> None:
        """Calls `on_expired` with every link that has expired."""
        now = self._clock()
        while self._heap and self._heap[0][0] <= now.timestamp():
            if (link := self._link_of(heapq.heappop(self._heap))) is not None:
                self._on_expired(link)

    def _link_changed(self, old: Link | None, new: Link | None) -> None:
        if new is None or new.expire_time is None or (old and old.expire_time == new.expire_time):
            return
        heapq.heappush(self._heap, (new.expire_time.timestamp(), new.route, new.name))
        if len(self._heap) > self._compaction_threshold:
            self._heap = list(filter(self._link_of, set(self._heap)))
            heapq.heapify(self._heap)
            self._compaction_threshold = 2 * len(self._heap) + _MIN_COMPACTION_THRESHOLD

    def _link_of(self, entry: _Entry) -> Link | None:
        """Returns the link of an entry; None where the entry is outdated: the link was renewed or deleted."""
        time, route, name = entry
        link = self._links.get(route, name)
        return link if link and link.expire_time and link.expire_time.timestamp() == time else None
