"""Computes how long links waited for their binding or removal after the end of faults, from the record."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaos.link_history import HOSTILE_PREFIX
from chaos.record import Link, QuietPeriod, Record


@dataclass(frozen=True, slots=True)
class WaitingLink:
    """A link that was not bound for its spec, or not removed after it expired.

    Attributes:
        name: the name of the link.
        started: when the wait started.
        ended: when it ended; None if the record ends first.
    """

    name: str
    started: float
    ended: float | None


@dataclass(frozen=True, slots=True)
class Recovery:
    """A period without faults.

    Attributes:
        started: when the last fault ended.
        ended: when the next fault started.
        fault_kinds: the kinds of the faults before it.
        waiting_links: the links that waited in it.
    """

    started: float
    ended: float
    fault_kinds: Sequence[str]
    waiting_links: Sequence[WaitingLink]

    @property
    def seconds(self) -> float | None:
        """The seconds until all links that waited at its start were served; None if one was not."""
        times = [each.ended for each in self.waiting_links if each.started <= self.started]
        if None in times:
            return None
        return max((time - self.started for time in times if time is not None), default=0.0)

    def exceeding(self, limit: float) -> Iterator[tuple[str, float]]:
        """Yields the links that waited longer than the limit and their seconds; infinity if the record ends first.

        A link that was created just before the end may still wait when the next fault starts.
        """
        for each in self.waiting_links:
            since = max(self.started, each.started)
            ended = math.inf if each.ended is None else each.ended
            if since + limit <= self.ended and ended > since + limit:
                yield each.name, ended - since


def bind_recoveries(record: Record) -> list[Recovery]:
    """Returns the periods without faults, with the links that waited for their binding."""
    return _recoveries(record, _waits(record))


def removal_recoveries(record: Record) -> list[Recovery]:
    """Returns the periods without faults, with the expired links that waited for their removal."""
    return _recoveries(record, _overdue(record))


def _recoveries(record: Record, waits: Mapping[str, Sequence[WaitingLink]]) -> list[Recovery]:
    recoveries = []
    for period in record.all(QuietPeriod):
        inside = [
            each
            for links in waits.values()
            for each in links
            if each.started <= period.ended and (each.ended is None or each.ended > period.started)
        ]
        recoveries.append(Recovery(period.started, period.ended, period.fault_kinds, inside))
    return recoveries


def _waits(record: Record) -> Mapping[str, Sequence[WaitingLink]]:
    """Returns when each link waited. Changes during a wait do not restart it."""
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
    for name, started in since.items():
        waits[name].append(WaitingLink(name, started, None))
    return waits


def _overdue(record: Record) -> Mapping[str, Sequence[WaitingLink]]:
    """Returns when each link existed after it expired. A renewal ends such a wait; a write of the status does not."""
    overdue: dict[str, list[WaitingLink]] = defaultdict(list)
    expires: dict[str, float] = {}
    for link in record.all(Link):
        expired_at = expires.get(link.name)
        if expired_at is not None and (link.is_gone or link.expires != expired_at):
            del expires[link.name]
            if expired_at < link.at:
                overdue[link.name].append(WaitingLink(link.name, expired_at, link.at))
        if not link.is_gone and link.expires is not None:
            expires[link.name] = link.expires
    for name, expired_at in expires.items():
        overdue[name].append(WaitingLink(name, expired_at, None))
    return overdue
