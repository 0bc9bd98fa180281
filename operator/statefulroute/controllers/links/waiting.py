"""The links of a route that wait: for a pod, for room on a pod, for a hand-over, or to leave a pod."""

import heapq
from collections.abc import Container, Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import chain, islice
from typing import TypeVar

from statefulroute.api.vocabulary import LinkPhase, LinkReason
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link, LinkStatus

K = TypeVar("K", PodKey, tuple[LinkReason, str | None])

#: When a link was created, to the second, and its name.
Position = tuple[int, str]

#: So many positions of links that want no room any more may be kept, beside as many as there are links.
_MAX_OUTDATED = 64

#: The phases of links that wait. A bound link waits if its pod has to be emptied and no other has room.
_WAITING_PHASES = (LinkPhase.PENDING, LinkPhase.LOST, LinkPhase.HANDING_OVER)

#: What the status of a link states: its reason, and the hash of the other facts.
_Statement = tuple[LinkReason, str | None]


def oldest_first(link: Link) -> Position:
    """Returns the sort key of waiting links: the creation time, to the second, then the name."""
    return link.creation_timestamp, link.name


class _Turns:
    """The links that want room, the oldest first. A link that had its turn waits for none until it is added again."""

    def __init__(self) -> None:
        self._wanting: dict[str, Position] = {}
        self._heap: list[Position] = []
        self._in_heap: set[Position] = set()

    def add(self, link: Link) -> None:
        """Adds a link unless it waits for its turn."""
        position = self._wanting[link.name] = oldest_first(link)
        if position not in self._in_heap:
            self._in_heap.add(position)
            heapq.heappush(self._heap, position)

    def discard(self, name: str) -> bool:
        """Removes a link; returns whether it wanted room."""
        if self._wanting.pop(name, None) is None:
            return False
        if len(self._heap) > 2 * len(self._wanting) + _MAX_OUTDATED:
            self._heap = [position for position in self._heap if self._wanting.get(position[1]) == position]
            heapq.heapify(self._heap)
            self._in_heap = set(self._heap)
        return True

    def first(self) -> Position | None:
        """Returns the position of the next link; None if there is none."""
        while self._heap and self._wanting.get(self._heap[0][1]) != self._heap[0]:
            self._in_heap.discard(heapq.heappop(self._heap))
        return self._heap[0] if self._heap else None

    def take(self) -> Iterator[str]:
        """Yields the names of the links in order; the turn of each one is over when it is yielded."""
        while (position := self.first()) is not None:
            self._in_heap.discard(heapq.heappop(self._heap))
            yield position[1]


class WaitingLinks:
    """The waiting links of a route by what they wait for, and which of them is next when a pod has room for a link."""

    def __init__(self) -> None:
        self._waiting: dict[str, Link] = {}
        self._choosing, self._moving = _Turns(), _Turns()
        """The links that want room because they name no pod, and because their pod is lost or has to be emptied."""
        self._by_pod: dict[PodKey, dict[str, None]] = {}
        """The names of the links that name a pod, or are handed over to it."""
        self._statements: dict[str, _Statement] = {}
        self._by_statement: dict[_Statement, dict[str, None]] = {}
        """The names of the links that name no pod, by what their status states."""

    def update(self, link: Link, status: LinkStatus | None, *, wants_room: bool) -> bool:
        """Stores whether a link waits after it was reconciled.

        Args:
            link: the link.
            status: the link's status; None where it has none.
            wants_room: whether the link would take the room that another link leaves.

        Returns:
            Whether the link wanted room and does not any more. It may have had a turn that another link can use.
        """
        if status is None or not (wants_room or status.phase in _WAITING_PHASES):
            return self.discard(link)
        self._forget(link.name)
        self._waiting[link.name] = link
        if link.pod is not None:
            for pod in _pods_of(link):
                self._by_pod.setdefault(pod, {})[link.name] = None
        else:
            statement = self._statements[link.name] = status.reason, status.facts_hash
            self._by_statement.setdefault(statement, {})[link.name] = None
        turns, others = self._turns_of(link)
        wanted_otherwise = others.discard(link.name)
        if wants_room:
            turns.add(link)
            return False
        return turns.discard(link.name) or wanted_otherwise

    def discard(self, link: Link) -> bool:
        """Removes a link that does not wait any more; returns whether it wanted room."""
        self._forget(link.name)
        wanted = [turns.discard(link.name) for turns in (self._choosing, self._moving)]
        return any(wanted)

    def all(self) -> Iterable[Link]:
        """Returns every link that waits."""
        return tuple(self._waiting.values())

    def of_pods(self, pods: Iterable[PodKey]) -> Iterable[Link]:
        """Returns the waiting links that name one of these pods, or are handed over to it; some may occur twice."""
        return [self._waiting[name] for pod in pods for name in self._by_pod.get(pod, ())]

    def want_room(self) -> bool:
        """Returns whether a link waits for its turn to take room."""
        return self._choosing.first() is not None or self._moving.first() is not None

    def next_for_room(self) -> Iterable[Link]:
        """Returns the oldest link that wants room, if there is one; it has no other turn until it is updated."""
        choosing, moving = self._choosing.first(), self._moving.first()
        is_choosing = choosing is not None and (moving is None or choosing < moving)
        return self._take(self._choosing if is_choosing else self._moving, 1)

    def next_like(self, link: Link) -> Iterable[Link]:
        """Returns the oldest link that wants room for the same reason as a given one."""
        return self._take(self._turns_of(link)[0], 1)

    def next_of_each_kind(self, number: int) -> Iterable[Link]:
        """Returns the oldest links that want room: so many that name no pod, and so many whose pod is lost."""
        return [*self._take(self._choosing, number), *self._take(self._moving, number)]

    def with_other_reason(self, status: LinkStatus) -> Iterable[Link]:
        """Returns the links that name no pod and whose status has another reason than the present one."""
        names = chain.from_iterable(
            names for (reason, _), names in self._by_statement.items() if reason is not status.reason
        )
        return [self._waiting[name] for name in names]

    def with_other_facts(
        self, status: LinkStatus, number: int, without: Container[str] = frozenset()
    ) -> Iterable[Link]:
        """Returns links that name no pod and whose status does not state the present facts.

        Args:
            status: the status that states the present facts.
            number: how many links are returned at most.
            without: the names of the links that are not returned.
        """
        present = status.reason, status.facts_hash
        names = chain.from_iterable(names for each, names in self._by_statement.items() if each != present)
        return [self._waiting[name] for name in islice((name for name in names if name not in without), number)]

    def _turns_of(self, link: Link) -> tuple[_Turns, _Turns]:
        """Returns the turns that a link waits for, and the others."""
        return (self._choosing, self._moving) if link.pod is None else (self._moving, self._choosing)

    def _take(self, turns: _Turns, number: int) -> list[Link]:
        return [self._waiting[name] for name in islice(turns.take(), number)]

    def _forget(self, name: str) -> None:
        """Removes a link from everything but the turns."""
        link = self._waiting.pop(name, None)
        if link is None:
            return
        statement = self._statements.pop(name, None)
        if statement is not None:
            _discard(self._by_statement, statement, name)
        elif link.pod is not None:
            for pod in _pods_of(link):
                _discard(self._by_pod, pod, name)


def _pods_of(link: Link) -> AbstractSet[PodKey]:
    """Returns the pods that a link names: its own, and the one that it is handed over to."""
    pods = () if link.pod is None else (link.pod,)
    return {*pods} if link.hand_over is None else {*pods, link.hand_over.pod}


def _discard(index: dict[K, dict[str, None]], key: K, name: str) -> None:
    """Removes a name from an index."""
    names = index[key]
    del names[name]
    if not names:
        del index[key]
