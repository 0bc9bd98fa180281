"""The links of a route that wait: for a pod, for room on a pod, or to leave a lost pod."""

import heapq
from collections.abc import Iterable

from statefulroute.api.vocabulary import LinkPhase
from statefulroute.domain.link import Link, LinkStatus


def oldest_first(link: Link) -> tuple[int, str]:
    """Returns the sort key of waiting links: the creation time, to the second, then the name."""
    return link.creation_timestamp, link.name


class WaitingLinks:
    """The waiting links of a route, and which of them is next when a pod has room for one more link."""

    def __init__(self) -> None:
        self._waiting: dict[str, Link] = {}
        self._want_room: dict[str, tuple[int, str]] = {}
        """The sort keys of the links that would take free room, by name. A link that had its turn stays among them
        until it is reconciled."""
        self._heap: list[tuple[int, str]] = []
        self._in_heap: set[tuple[int, str]] = set()

    def update(self, link: Link, status: LinkStatus | None, *, wants_room: bool) -> bool:
        """Stores whether a link waits after it was reconciled.

        Args:
            link: the link.
            status: the link's status; None where it has none.
            wants_room: whether the link would take the room that another link leaves.

        Returns:
            Whether the link wanted room and does not any more. It may have had a turn that another link can use.
        """
        if status is None or status.phase not in {LinkPhase.PENDING, LinkPhase.LOST}:
            return self.discard(link)
        self._waiting[link.name] = link
        if not wants_room:
            return self._no_longer_wants_room(link)
        position = self._want_room[link.name] = oldest_first(link)
        if position not in self._in_heap:
            self._in_heap.add(position)
            heapq.heappush(self._heap, position)
        return False

    def discard(self, link: Link) -> bool:
        """Removes a link that does not wait any more; returns whether it wanted room."""
        self._waiting.pop(link.name, None)
        return self._no_longer_wants_room(link)

    def all(self) -> Iterable[Link]:
        """Returns every link that waits."""
        return tuple(self._waiting.values())

    def next_for_room(self) -> Iterable[Link]:
        """Returns the oldest link that wants room, if there is one; it has no other turn until it is updated."""
        while self._heap:
            position = heapq.heappop(self._heap)
            self._in_heap.discard(position)
            _, name = position
            if self._want_room.get(name) == position:
                return (self._waiting[name],)
        return ()

    def _no_longer_wants_room(self, link: Link) -> bool:
        return self._want_room.pop(link.name, None) is not None
