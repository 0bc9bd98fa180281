"""Finds in the record when hand-overs of links began and how they ended."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from chaos.link_history import LinkHistory
from chaos.pod_losses import LAG_SECONDS, STALE_SECONDS, PodLosses
from chaos.record import Link, Record, Route

_FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class HandOver:
    """A hand-over of a link.

    Attributes:
        before: the version before the first one that asks for it; None if that is the first one of the link.
        first: the first version that asks for it.
        last: the last version that asks for it.
        after: the version that asks for it no more; None if the record ends first.
    """

    before: Link | None
    first: Link
    last: Link
    after: Link | None

    @property
    def pod(self) -> int | None:
        """The new pod."""
        return self.first.hand_over[0] if self.first.hand_over is not None else None

    @property
    def is_committed(self) -> bool:
        """Whether the link has moved to the new pod."""
        return self.after is not None and not self.after.is_gone and self.after.pod == self.pod != self.last.pod


class HandOvers:
    """The hand-overs of all links, and the settings of their routes.

    Args:
        record: the record of a run.
    """

    def __init__(self, record: Record) -> None:
        self.history = LinkHistory(record)
        self.losses = PodLosses(record)
        self.all = [each for versions in self.history.versions.values() for each in _hand_overs(versions)]
        self._starts = {(each.first.name, each.first.hand_over): each.first.at for each in reversed(self.all)}
        """When each link first asked for a hand-over."""
        self._routes: dict[str, list[Route]] = {}
        for route in record.all(Route):
            self._routes.setdefault(route.name, []).append(route)

    def may_have_moved(self, before: Link, after: Link) -> bool:
        """Returns whether the operator may have moved a link that asked for a hand-over.

        It moves a link to the new pod after the time-out, or at once if the route has no hand-over; and to any pod if
        the old pod is gone, also within the grace period, or is shut down and not Ready.
        """
        route, old = before.key[0], before.pod
        if old is None:
            return False
        if self.was_shut_down(route, old, after.at) and self.losses.was_unready(route, old, after.at):
            return True
        if before.hand_over is None:
            return False
        if self.losses.was_absent(route, old, after.at):
            return True
        started = self._starts[before.name, before.hand_over]
        return (
            before.hand_over[0] == after.pod
            and after.at - started >= self.timeout_seconds(route, after.at) - LAG_SECONDS
        )

    def timeout_seconds(self, route: str, at: float) -> float:
        """Returns the shortest time-out of a route at a time, or shortly before: 0 if links moved at once."""
        return min((each.hand_over_seconds or 0.0 for each in self._recent(route, at)), default=0.0)

    def longest_timeout_seconds(self, route: str) -> float:
        """Returns the longest time-out that a route has had."""
        return max((each.hand_over_seconds or 0.0 for each in self._routes.get(route, ())), default=0.0)

    def was_shut_down(self, route: str, pod: int | None, at: float) -> bool:
        """Returns whether a pod was shut down at a time, or shortly before."""
        return any(pod in each.shut_down for each in self._recent(route, at))

    def could_not_take_users(self, route: str, pod: int | None, at: float) -> bool:
        """Returns whether a pod may have taken no users at a time, or shortly before."""
        if pod is None or self.was_shut_down(route, pod, at):
            return True
        return self.losses.was_unready(route, pod, at)

    def _recent(self, route: str, at: float) -> Iterator[Route]:
        versions = self._routes.get(route, [])
        ends = [*(each.at for each in versions[1:]), _FOREVER]
        for version, end in zip(versions, ends, strict=True):
            if version.at - LAG_SECONDS <= at and end >= at - STALE_SECONDS:
                yield version


def _hand_overs(versions: Sequence[Link]) -> Iterator[HandOver]:
    before: Link | None = None
    first: Link | None = None
    for earlier, later in pairwise([None, *versions]):
        assert later is not None
        asked = None if earlier is None or earlier.is_gone else earlier.hand_over
        asks = None if later.is_gone else later.hand_over
        if asked == asks:
            continue
        if first is not None and earlier is not None:
            yield HandOver(before, first, earlier, later)
        before, first = (earlier, later) if asks is not None else (None, None)
    if first is not None:
        yield HandOver(before, first, versions[-1], None)
