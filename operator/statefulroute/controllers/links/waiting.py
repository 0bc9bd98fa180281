"""The links of a route that wait: for a pod, for room on one, or to leave a lost one."""

import heapq
from collections.abc import Iterable

from statefulroute.api.vocabulary import LinkPhase
from statefulroute.domain.link import Link, LinkStatus


def oldest_first(link: Link) -> tuple[int, str]:
    """The order of turns: by creation, to the second; then by name."""
    return link.creation_timestamp, link.name


class WaitingLinks:
    """Who waits, and whose turn it is when one pod has room for one link more."""

    def __init__(self) -> None:
        self._waiting: dict[str, Link] = {}
        self._want_room: dict[str, tuple[int, str]] = {}
        """Who of them would take it, with their places; whoever has had a turn is among them until judged anew."""
        self._heap: list[tuple[int, str]] = []
        self._in_heap: set[tuple[int, str]] = set()

    def update(self, link: Link, status: LinkStatus | None, *, wants_room: bool) -> bool:
        """What was said of a link at last.

        Args:
            link: the link.
            status: what its status says now; None where nothing was said.
            wants_room: whether it would take the room that another link leaves.

        Returns:
            Whether it has wanted room and does no more: another may have the turn that it may have had.
        """
        if status is None or status.phase not in {LinkPhase.PENDING, LinkPhase.LOST}:
            return self.discard(link)
        self._waiting[link.name] = link
        if not wants_room:
            return self._no_longer_wants_room(link)
        place = self._want_room[link.name] = oldest_first(link)
        if place not in self._in_heap:
            self._in_heap.add(place)
            heapq.heappush(self._heap, place)
        return False

    def discard(self, link: Link) -> bool:
        """The link waits no more; gives whether it has wanted room."""
        self._waiting.pop(link.name, None)
        return self._no_longer_wants_room(link)

    def all(self) -> Iterable[Link]:
        """Every link that waits."""
        return tuple(self._waiting.values())

    def next_for_room(self) -> Iterable[Link]:
        """The oldest link that waits for room, if there is one: it loses its place in the line until noted again."""
        while self._heap:
            place = heapq.heappop(self._heap)
            self._in_heap.discard(place)
            _, name = place
            if self._want_room.get(name) == place:
                return (self._waiting[name],)
        return ()

    def _no_longer_wants_room(self, link: Link) -> bool:
        return self._want_room.pop(link.name, None) is not None
