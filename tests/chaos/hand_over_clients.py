"""The drivers of the pods that hand users over: they commit soon, late or never."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from chaos.record import Link as LinkRow
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import HandOver, Link
from statefulroute.domain.operations import Binding, Put, Step, active_link, renew_link
from statefulroute.domain.times import TimeInterval

_POLL_SECONDS = 0.1

#: What the driver of the old pod does, with the probability; for the others, the operator moves the user.
_COMMITS, _COMMITS_LATE = 0.6, 0.15

#: How long a driver takes, and how long after the time-out a late one commits.
_SECONDS, _LATE_SECONDS = 1.5, 3.0

#: The part of the TTL by which an early renewal is ahead of its time; half of it makes any renewal due.
_RENEWED_PART = 0.6

#: Commits the hand-over of a link: its route, its uid and the hand-over.
Commit = Callable[[str, str, HandOver], Awaitable[None]]


def commit_hand_over(link: Link | None, now: TimeInterval, *, hand_over: HandOver) -> Step[PodKey | None]:
    """Moves a link as its hand-over asks, unless that is not this one any more. The result is the pod of the link."""
    current = active_link(link, now.earliest)
    if current is None or current.hand_over != hand_over:
        return Step(None, None if current is None else current.pod)
    renew_time = now.latest if current.ttl_seconds is not None else None
    return Step(Put(Binding(hand_over.pod, current.ttl_seconds, renew_time)), hand_over.pod)


def renew_early(link: Link | None, now: TimeInterval) -> Step[bool]:
    """Renews a temporary link although most of its TTL is left: such a renewal often meets a hand-over."""
    seconds = 0 if link is None or link.ttl_seconds is None else link.ttl_seconds * _RENEWED_PART
    return renew_link(link, TimeInterval(now.earliest, now.latest + timedelta(seconds=seconds)))


@dataclass(slots=True)
class PodDrivers:
    """The drivers of all pods: most commit soon, some commit after the time-out, and some never.

    Attributes:
        hand_overs: returns the hand-overs of all links, as `StoreRecorder.hand_overs`.
        timeout_seconds: the time-out of each route; late drivers commit after it.
        commit: commits a hand-over.
        is_over: returns whether the load ends.
        random: the source of random choices.
    """

    hand_overs: Callable[[], Mapping[str, tuple[float, LinkRow]]]
    timeout_seconds: Mapping[str, float]
    commit: Commit
    is_over: Callable[[], bool]
    random: random.Random
    _known: set[tuple[str, tuple[int | None, str] | None]] = field(default_factory=set)

    async def run(self) -> None:
        """Plays the drivers until the load ends, and waits for their commits."""
        async with asyncio.TaskGroup() as tasks:
            while not self.is_over():
                for name, (_, link) in self.hand_overs().items():
                    if (name, link.hand_over) not in self._known:
                        self._known.add((name, link.hand_over))
                        tasks.create_task(self._hand_over(link))
                await asyncio.sleep(_POLL_SECONDS)

    async def _hand_over(self, link: LinkRow) -> None:
        pod, start_time = link.hand_over or (None, "")
        chance, (route, uid) = self.random.random(), link.key
        if pod is None or chance > _COMMITS + _COMMITS_LATE:
            return
        seconds = self.random.uniform(0, _SECONDS)
        if chance > _COMMITS:
            seconds = self.timeout_seconds.get(route, 0.0) + self.random.uniform(0, _LATE_SECONDS)
        await asyncio.sleep(seconds)
        await self.commit(route, uid, HandOver(pod, start_time))
