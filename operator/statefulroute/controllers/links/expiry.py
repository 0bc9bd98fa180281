"""When temporary links end: one heap over all of them, and no task, timer or finalizer a link."""

import asyncio
import heapq
from collections.abc import Callable
from datetime import datetime

from statefulroute.cluster.cache import Cache
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link

#: So many entries are kept at the least before those are looked for that count no more.
_MIN_COMPACTION_THRESHOLD = 1024

#: The clock is looked at this often: it may have jumped, and a sleep does not jump with it.
_CHECK_SECONDS = 0.25


#: When a link ends, in seconds since 1970, and which link.
_Entry = tuple[float, RouteKey, str]


class ExpiryController:
    """Tells of each temporary link when its time is over.

    Args:
        links: the cache of links; it is listened to from the start on.
        on_expired: called with a link that has expired.
        clock: the time of day.
    """

    def __init__(self, links: Cache[Link], on_expired: Callable[[Link], None], clock: Callable[[], datetime]) -> None:
        self._links = links
        self._on_expired = on_expired
        self._clock = clock
        self._heap: list[_Entry] = []
        self._compaction_threshold = _MIN_COMPACTION_THRESHOLD
        """From how many entries on those are dropped that count no more: a renewal leaves one, an early end, too."""

    def __len__(self) -> int:
        """How many ends of links are kept, those included that count no more."""
        return len(self._heap)

    def start(self) -> None:
        """Take in the links that there are, and from now on each that changes."""
        for key in self._links:
            self._link_changed(None, self._links.get(*key))
        self._links.listen(self._link_changed)

    async def run(self) -> None:
        """Look for links whose time is over, until cancelled."""
        self.start()
        while True:
            self.notify_expired()
            await asyncio.sleep(_CHECK_SECONDS)

    def notify_expired(self) -> None:
        """Tell of every link whose time is over."""
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
        """The link that ends then; None where it was renewed in the meantime and has another entry, or was deleted."""
        time, group, name = entry
        link = self._links.get(group, name)
        return link if link and link.expire_time and link.expire_time.timestamp() == time else None
