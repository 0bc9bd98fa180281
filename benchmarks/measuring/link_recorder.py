"""Records the history of each link from a watch."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

from statefulroute.api.vocabulary import LinkPhase
from statefulroute.cluster.cache import Cache
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link


class LinkRecorder:
    """Follows links. Times are monotonic seconds; an event counts when the watch delivers it.

    Args:
        links: the cache that the watch feeds.

    Attributes:
        links: the existing links, by name.
        created_at: when the creation of each link started.
        bound_at: when each link was first seen as bound.
        moved_at: when bound links were seen as bound to another pod, in order.
        unbound: the links whose creation started and that have not been seen as bound.
        removed_links: the last version of each deleted link, and when its deletion was seen (Unix time).
        versions: how many versions of each link were seen.
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
        """Records that the creation of a link starts."""
        self.created_at[name] = time.monotonic()
        self.unbound.add(name)

    def reset(self) -> None:
        """Clears the history; the existing links stay."""
        for history in (self.created_at, self.bound_at, self.unbound, self.moved_at, self.removed_links, self.versions):
            history.clear()

    def latencies(self) -> list[float]:
        """Returns the milliseconds from each creation to Bound, in ascending order."""
        return sorted(
            (self.bound_at[name] - self.created_at[name]) * 1000 for name in self.created_at if name in self.bound_at
        )

    def links_per_pod(self) -> Counter[PodKey]:
        """Returns how many links each pod has."""
        return Counter(link.pod for link in self.links.values() if link.pod is not None)

    async def wait_until(self, holds: Callable[[], bool]) -> None:
        """Waits until a condition on the history holds."""
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
