"""Finds in the record which pods held how many slots, and which slots had no link."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from chaos.pod_losses import LAG_SECONDS, STALE_SECONDS, PodLosses
from chaos.record import Link, Record, Route


def slot_of(uid: str, slots: int) -> int:
    """Returns the slot of a uid, as docs/reference/slots.md states it."""
    return int.from_bytes(sha256(uid.encode()).digest()[:8], "big") % slots


def are_even(counts: Sequence[int], slots: int) -> bool:
    """Returns whether pods have all slots of a route, and the number of each differs from the mean by at most one."""
    return sum(counts) == slots and all(abs(count * len(counts) - slots) <= len(counts) for count in counts)


@dataclass(frozen=True, slots=True)
class Absence:
    """A time without a link of a slot.

    Attributes:
        slot: the slot.
        started: when its link was deleted, or when the route was created.
        ended: when its link was created; infinity if the record ends first.
    """

    slot: int
    started: float
    ended: float


class SlotHistory:
    """The slots of all routes.

    Args:
        record: the record of a run.
    """

    def __init__(self, record: Record) -> None:
        self._routes: dict[str, list[Route]] = {}
        for route in record.all(Route):
            self._routes.setdefault(route.name, []).append(route)
        self.slots = {name: versions[0].slots for name, versions in self._routes.items() if versions[0].slots}
        """The number of slots of each route that has slots."""
        self._links = {name: _links_of(record, name) for name in self.slots}
        self._counts = {name: list(_counts(links)) for name, links in self._links.items()}

    def denied(self, route: str, pod: int | None, at: float) -> bool:
        """Returns whether a pod had to give its slots away at a time, or shortly before."""
        versions = self._routes.get(route, [])
        ends = [*(each.at for each in versions[1:]), float("inf")]
        return any(
            pod in (*each.denied, *each.shut_down)
            for each, end in zip(versions, ends, strict=True)
            if each.at - LAG_SECONDS <= at and end >= at - STALE_SECONDS
        )

    def was_uneven(self, route: str, old: int | None, new: int | None, at: float) -> bool:
        """Returns whether a pod may have seemed to hold at least two slots more than another one at a time.

        An operator may act on a state that is `STALE_SECONDS` old.
        """
        if old is None or new is None:
            return False
        recent = self._recent(route, at)
        return bool(recent) and max(each[old] for each in recent) >= min(each[new] for each in recent) + 2

    def last_counts(self, route: str) -> Counter[int]:
        """Returns the number of slots of each pod at the end."""
        counts = self._counts.get(route)
        return counts[-1][1] if counts else Counter()

    def absences(self, route: str) -> Iterator[Absence]:
        """Yields the times without a link of a slot of a route."""
        versions, slots = self._routes[route], self.slots[route] or 0
        missing = dict.fromkeys(range(slots), versions[0].at)
        for link in self._links[route]:
            if link.slot is None or link.slot >= slots:
                continue
            if link.is_gone:
                missing.setdefault(link.slot, link.at)
            elif (started := missing.pop(link.slot, None)) is not None:
                yield Absence(link.slot, started, link.at)
        for slot, started in missing.items():
            yield Absence(slot, started, float("inf"))

    def exists(self, route: str, started: float, ended: float) -> bool:
        """Returns whether a route had its slots during the whole of a time."""
        versions = self._routes[route]
        number = bisect_right(versions, started, key=lambda each: each.at)
        present = versions[max(0, number - 1) : bisect_right(versions, ended, key=lambda each: each.at)]
        return number > 0 and all(each.slots for each in present)

    def _recent(self, route: str, at: float) -> Sequence[Counter[int]]:
        counts = self._counts.get(route, [])
        first = bisect_right(counts, at - STALE_SECONDS, key=lambda each: each[0])
        last = bisect_right(counts, at, key=lambda each: each[0])
        return [each for _, each in counts[max(0, first - 1) : last]]


def may_give_away(slots: SlotHistory, losses: PodLosses, link: Link, to: int | None, at: float) -> bool:
    """Returns whether the operator may have moved a slot away from a pod, or asked the pod to hand it over."""
    route, pod = link.key[0], link.pod
    if pod is None:
        return False
    if losses.was_absent(route, pod, at) or losses.may_lose_links(route, pod, at):  # also beyond the replicas
        return True
    return slots.denied(route, pod, at) or slots.was_uneven(route, pod, to, at)


def _links_of(record: Record, route: str) -> Sequence[Link]:
    """Returns the versions of the links of a route's slots; deletions have the slot, too."""
    slots: dict[str, int] = {}
    links = []
    for link in record.all(Link):
        if link.is_gone and link.name in slots:
            links.append(Link(link.at, link.revision, link.name, slot=slots.pop(link.name), is_gone=True))
        elif link.slot is not None and link.key[0] == route:
            slots[link.name] = link.slot
            links.append(link)
    return links


def _counts(links: Sequence[Link]) -> Iterator[tuple[float, Counter[int]]]:
    """Yields the number of slots of each pod after each change."""
    pods: dict[str, int] = {}
    counts = Counter[int]()
    for link in links:
        before = pods.pop(link.name, None)
        if not link.is_gone and link.pod is not None:
            pods[link.name] = link.pod
        after = pods.get(link.name)
        if before == after:
            continue
        if before is not None:
            counts[before] -= 1
        if after is not None:
            counts[after] += 1
        yield link.at, counts.copy()
