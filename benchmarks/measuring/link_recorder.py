"""What has become of each link, and when, as a watch tells."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

from statefulroute.api.vocabulary import LinkPhase
from statefulroute.cluster.cache import Cache
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link


class LinkRecorder:
    """Follows links. Times are monotonic seconds; those of events are when the watch brought them here.

    Args:
        links: what the watch brings.

    Attributes:
        links: those that there are, by name.
        created_at: when each was about to be made.
        bound_at: when each was first seen to be bound.
        moved_at: when a bound one was seen to be bound to another pod, in the order of the moves.
        unbound: those that were begun and were not seen to be bound yet.
        removed_links: the last version of each that was deleted, and when that was seen, in time of day.
        versions: how many versions of each were seen.
    """

    def __init__(self, links: Cache[Link]) -> None:
        self.links: dict[str, Link] = {}
        self.created_at: dict[str, float] = {}
        self.bound_at: dict[str, float] = {}
        self.unbound: set[str] = set()
        self.moved_at: list[float] = []
        self.removed_links: list[tuple[Link, float]] = []
        self.versions: Counter[str] = Counter()
        self._change = asyncio.Event()
        links.listen(self._observe)

    def record_creation(self, name: str) -> None:
        """Note that a link is about to be made."""
        self.created_at[name] = time.monotonic()
        self.unbound.add(name)

    def reset(self) -> None:
        """Forget what has been; the links that there are stay."""
        for notes in (self.created_at, self.bound_at, self.unbound, self.moved_at, self.removed_links, self.versions):
            notes.clear()

    def latencies(self) -> list[float]:
        """The milliseconds from each creation to Bound, in order of length."""
        return sorted(
            (self.bound_at[name] - self.created_at[name]) * 1000 for name in self.created_at if name in self.bound_at
        )

    def links_per_pod(self) -> Counter[PodKey]:
        """How many links each pod carries."""
        return Counter(link.pod for link in self.links.values() if link.pod is not None)

    async def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds of what was seen."""
        while not holds():
            self._change.clear()
            await self._change.wait()

    def _observe(self, old: Link | None, new: Link | None) -> None:
        if new is not None:
            self.links[new.name] = new
            self.versions[new.name] += 1
            if new.status is not None and new.status.phase is LinkPhase.BOUND:
                self._observe_bound(old, new)
        elif old is not None:
            self.links.pop(old.name, None)
            self.removed_links.append((old, time.time()))
        self._change.set()

    def _observe_bound(self, old: Link | None, new: Link) -> None:
        now = time.monotonic()
        self.bound_at.setdefault(new.name, now)
        self.unbound.discard(new.name)
        if old is not None and old.status_pod not in {None, new.status_pod}:
            self.moved_at.append(now)
