"""How many links each pod carries."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link


class LinkCounts:
    """The number of links by route and pod index, kept with every change of a link; reads cost nothing."""

    def __init__(self) -> None:
        self._counts: dict[RouteKey, Counter[int]] = {}

    def of(self, route: RouteKey) -> Mapping[int, int]:
        """The counts of a route's pods by index: a live view. Pods without a link may be absent."""
        return self._counts.setdefault(route, Counter())

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
            counts[before] -= 1
            if not counts[before]:
                del counts[before]

    @contextmanager
    def reserved(self, route: RouteKey, pod_index: int) -> Iterator[None]:
        """Count a link that is about to be bound, so that the next choice sees it before the API server answers."""
        counts = self._counts.setdefault(route, Counter())
        counts[pod_index] += 1
        try:
            yield
        finally:
            counts[pod_index] -= 1
