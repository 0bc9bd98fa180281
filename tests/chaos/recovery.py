"""How long links waited to be bound, or to end, once nothing was wrong any more, by the record."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaos.link_history import HOSTILE_PREFIX
from chaos.record import Link, QuietPeriod, Record


@dataclass(frozen=True, slots=True)
class WaitingLink:
    """A link that was not bound as it asks, or was still there when its time was over.

    Attributes:
        name: of the link.
        started: since when.
        ended: until when; None for longer than the record goes.
    """

    name: str
    started: float
    ended: float | None


@dataclass(frozen=True, slots=True)
class Recovery:
    """A time without faults.

    Attributes:
        started: when the last fault ended.
        ended: when the next began.
        fault_kinds: the kinds of the faults before it.
        waiting_links: who waited in it.
    """

    started: float
    ended: float
    fault_kinds: Sequence[str]
    waiting_links: Sequence[WaitingLink]

    @property
    def seconds(self) -> float | None:
        """Until all who waited at its begin were served; None where somebody was not."""
        times = [each.ended for each in self.waiting_links if each.started <= self.started]
        if None in times:
            return None
        return max((time - self.started for time in times if time is not None), default=0.0)

    def exceeding(self, limit: float) -> Iterator[tuple[str, float]]:
        """Who waited for longer than that in it, and how long; without an end in the record, endlessly.

        Who came just before its end may still wait when the next fault begins.
        """
        for each in self.waiting_links:
            since = max(self.started, each.started)
            ended = math.inf if each.ended is None else each.ended
            if since + limit <= self.ended and ended > since + limit:
                yield each.name, ended - since


def bind_recoveries(record: Record) -> list[Recovery]:
    """The times without faults, in their order, with who waited to be bound."""
    return _recoveries(record, _waits(record))


def removal_recoveries(record: Record) -> list[Recovery]:
    """The times without faults, in their order, with who waited to be removed, for their time was over."""
    return _recoveries(record, _overdue(record))


def _recoveries(record: Record, waits: Mapping[str, Sequence[WaitingLink]]) -> list[Recovery]:
    found = []
    for calm in record.all(QuietPeriod):
        inside = [
            each
            for waitings in waits.values()
            for each in waitings
            if each.started <= calm.ended and (each.ended is None or each.ended > calm.started)
        ]
        found.append(Recovery(calm.started, calm.ended, calm.fault_kinds, inside))
    return found


def _waits(record: Record) -> Mapping[str, Sequence[WaitingLink]]:
    """When each link waited. Whoever changes it while it waits does not make it wait anew."""
    waits: dict[str, list[WaitingLink]] = defaultdict(list)
    since: dict[str, float] = {}
    for link in record.all(Link):
        if link.key[1].startswith(HOSTILE_PREFIX):
            continue
        if link.is_gone or link.is_settled:
            if link.name in since:
                waits[link.name].append(WaitingLink(link.name, since.pop(link.name), link.at))
        else:
            since.setdefault(link.name, link.at)
    for name, begun in since.items():
        waits[name].append(WaitingLink(name, begun, None))
    return waits


def _overdue(record: Record) -> Mapping[str, Sequence[WaitingLink]]:
    """When each link was there whose time was over. Whoever renews it ends that; who writes its status does not."""
    overdue: dict[str, list[WaitingLink]] = defaultdict(list)
    expires: dict[str, float] = {}
    for link in record.all(Link):
        over = expires.get(link.name)
        if over is not None and (link.is_gone or link.expires != over):
            del expires[link.name]
            if over < link.at:
                overdue[link.name].append(WaitingLink(link.name, over, link.at))
        if not link.is_gone and link.expires is not None:
            expires[link.name] = link.expires
    for name, over in expires.items():
        overdue[name].append(WaitingLink(name, over, None))
    return overdue
