"""How many links each pod carries."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from statefulroute.domain.keys import LinkKey, RouteKey
from statefulroute.domain.link import Link


class LinkCounts:
    """The number of links by route and pod index, kept with every change of a link; reads cost nothing."""

    def __init__(self) -> None:
        self._first_listeners: list[Callable[[RouteKey, int], None]] = []
        self._counts: dict[RouteKey, Counter[int]] = {}
        self._reserved: dict[LinkKey, int] = {}

    def of(self, route: RouteKey) -> Mapping[int, int]:
        """The counts of a route's pods by index: a live view. Pods without a link may be absent."""
        return self._counts.setdefault(route, Counter())

    def listen_first(self, listener: Callable[[RouteKey, int], None]) -> None:
        """Have a function called when a pod, by its route and index, has got its first link."""
        self._first_listeners.append(listener)

    def observe(self, old: Link | None, new: Link | None) -> None:
        """Count a link's change; a listener of the cache of links."""
        before, after = old.held_by if old else None, new.held_by if new else None
        if before == after:
            return
        link = new or old
        if link is None:
            return
        counts = self._counts.setdefault(link.group, Counter())
        if after is not None:
            counts[after] += 1
        if before is not None:
            self._subtract(counts, before)
        if self._reserved and self._reserved.get(link.key) == after:
            self._release(link.key)
        if after is not None and counts[after] == 1:
            for listener in self._first_listeners:
                listener(link.group, after)

    @contextmanager
    def reserved(self, key: LinkKey, pod_index: int) -> Iterator[None]:
        """Count a link that is about to be bound, so that the next choice sees it before the API server answers.

        The watch may tell of the binding before the answer comes: then the link itself counts, and it does so once.
        """
        self._counts.setdefault(key.route, Counter())[pod_index] += 1
        self._reserved[key] = pod_index
        try:
            yield
        finally:
            self._release(key)

    def _release(self, key: LinkKey) -> None:
        pod_index = self._reserved.pop(key, None)
        if pod_index is not None:
            self._subtract(self._counts[key.route], pod_index)

    @staticmethod
    def _subtract(counts: Counter[int], pod_index: int) -> None:
        counts[pod_index] -= 1
        if not counts[pod_index]:
            del counts[pod_index]
