"""How long links waited to be bound, or to end, once nothing was wrong any more, by the record."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaos.histories import HOSTILE
from chaos.record import Calm, Link, Record


@dataclass(frozen=True, slots=True)
class Waiting:
    """A link that was not bound as it asks, or was still there when its time was over.

    Attributes:
        name: of the link.
        begun: since when.
        ended: until when; None for longer than the record goes.
    """

    name: str
    begun: float
    ended: float | None


@dataclass(frozen=True, slots=True)
class Healing:
    """A time without faults.

    Attributes:
        begun: when the last fault ended.
        ended: when the next began.
        troubles: the kinds of the faults before it.
        waiting: who waited in it.
    """

    begun: float
    ended: float
    troubles: Sequence[str]
    waiting: Sequence[Waiting]

    @property
    def seconds(self) -> float | None:
        """Until all who waited at its begin were served; None where somebody was not."""
        times = [each.ended for each in self.waiting if each.begun <= self.begun]
        if None in times:
            return None
        return max((time - self.begun for time in times if time is not None), default=0.0)

    def late(self, limit: float) -> Iterator[tuple[str, float]]:
        """Who waited for longer than that in it, and how long; without an end in the record, endlessly.

        Who came just before its end may still wait when the next fault begins.
        """
        for each in self.waiting:
            since = max(self.begun, each.begun)
            ended = math.inf if each.ended is None else each.ended
            if since + limit <= self.ended and ended > since + limit:
                yield each.name, ended - since


def calms(record: Record) -> list[Healing]:
    """The times without faults, in their order, with who waited to be bound."""
    return _calms(record, _waits(record))


def ends(record: Record) -> list[Healing]:
    """The times without faults, in their order, with who waited to be removed, for their time was over."""
    return _calms(record, _overdue(record))


def _calms(record: Record, waits: Mapping[str, Sequence[Waiting]]) -> list[Healing]:
    found = []
    for calm in record.all(Calm):
        inside = [
            each
            for waitings in waits.values()
            for each in waitings
            if each.begun <= calm.ended and (each.ended is None or each.ended > calm.begun)
        ]
        found.append(Healing(calm.begun, calm.ended, calm.troubles, inside))
    return found


def _waits(record: Record) -> Mapping[str, Sequence[Waiting]]:
    """When each link waited. Whoever changes it while it waits does not make it wait anew."""
    waits: dict[str, list[Waiting]] = defaultdict(list)
    since: dict[str, float] = {}
    for link in record.all(Link):
        if link.key[1].startswith(HOSTILE):
            continue
        if link.is_gone or link.is_settled:
            if link.name in since:
                waits[link.name].append(Waiting(link.name, since.pop(link.name), link.at))
        else:
            since.setdefault(link.name, link.at)
    for name, begun in since.items():
        waits[name].append(Waiting(name, begun, None))
    return waits


def _overdue(record: Record) -> Mapping[str, Sequence[Waiting]]:
    """When each link was there whose time was over. Whoever renews it ends that; who writes its status does not."""
    overdue: dict[str, list[Waiting]] = defaultdict(list)
    expires: dict[str, float] = {}
    for link in record.all(Link):
        over = expires.get(link.name)
        if over is not None and (link.is_gone or link.expires != over):
            del expires[link.name]
            if over < link.at:
                overdue[link.name].append(Waiting(link.name, over, link.at))
        if not link.is_gone and link.expires is not None:
            expires[link.name] = link.expires
    for name, over in expires.items():
        overdue[name].append(Waiting(name, over, None))
    return overdue
