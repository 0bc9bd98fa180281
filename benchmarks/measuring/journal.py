"""What has become of each link, and when, as a watch tells."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

from statefulroute.api.vocabulary import LinkPhase
from statefulroute.cluster.cache import Cache
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link


class Journal:
    """Follows links. Times are monotonic seconds; those of events are when the watch brought them here.

    Args:
        links: what the watch brings.

    Attributes:
        links: those that there are, by name.
        begun: when each was about to be made.
        bound: when each was first seen to be bound.
        moved: when a bound one was seen to be bound to another pod, in the order of the moves.
        waiting: those that were begun and were not seen to be bound yet.
        removed: the last version of each that was deleted, and when that was seen, in time of day.
        versions: how many versions of each were seen.
    """

    def __init__(self, links: Cache[Link]) -> None:
        self.links: dict[str, Link] = {}
        self.begun: dict[str, float] = {}
        self.bound: dict[str, float] = {}
        self.waiting: set[str] = set()
        self.moved: list[float] = []
        self.removed: list[tuple[Link, float]] = []
        self.versions: Counter[str] = Counter()
        self._news = asyncio.Event()
        links.listen(self._changed)

    def begin(self, name: str) -> None:
        """Note that a link is about to be made."""
        self.begun[name] = time.monotonic()
        self.waiting.add(name)

    def forget(self) -> None:
        """Forget what has been; the links that there are stay."""
        for notes in (self.begun, self.bound, self.waiting, self.moved, self.removed, self.versions):
            notes.clear()

    def latencies(self) -> list[float]:
        """The milliseconds from each creation to Bound, in order of length."""
        return sorted((self.bound[name] - self.begun[name]) * 1000 for name in self.begun if name in self.bound)

    def carried(self) -> Counter[PodKey]:
        """How many links each pod carries."""
        return Counter(link.pod for link in self.links.values() if link.pod is not None)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds of what was seen."""
        while not holds():
            self._news.clear()
            await self._news.wait()

    def _changed(self, old: Link | None, new: Link | None) -> None:
        if new is not None:
            self.links[new.name] = new
            self.versions[new.name] += 1
            if new.acknowledged is not None and new.acknowledged.phase is LinkPhase.BOUND:
                self._seen_bound(old, new)
        elif old is not None:
            self.links.pop(old.name, None)
            self.removed.append((old, time.time()))
        self._news.set()

    def _seen_bound(self, old: Link | None, new: Link) -> None:
        now = time.monotonic()
        self.bound.setdefault(new.name, now)
        self.waiting.discard(new.name)
        if old is not None and old.was_bound_to not in {None, new.was_bound_to}:
            self.moved.append(now)
