"""Finds the pod for a new user among any number of pods: the rule of `placement`, by an index that changes pod by pod.

The expected load of a pod is its reported load, and for each link that was added since then a share. The share is the
same for all pods, and every report changes it. So the index has a group for each number of added links, and sorts the
pods of a group by their reported load: the best pod of each group is known at any share.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from heapq import merge
from itertools import islice
from typing import NamedTuple, TypeVar

from statefulroute.domain.explanation import NamedReason, Reason
from statefulroute.domain.fresh_loads import FreshLoads
from statefulroute.domain.keys import PodKey, pod_sort_key
from statefulroute.domain.milli import MILLI
from statefulroute.domain.no_pod import (
    MAX_NAMED_PODS,
    full_reason,
    silent_reason,
    unavailable_reason,
)
from statefulroute.domain.placement import has_room, is_silence_assumed
from statefulroute.domain.route import PodView, RouteView

#: What sorts pods by index or name.
_SortKey = tuple[int, str]

T = TypeVar("T", int, _SortKey, tuple[int, _SortKey])


def _remove(items: list[T], item: T) -> None:
    """Removes an item from a sorted list."""
    del items[bisect_left(items, item)]


class Candidate(NamedTuple):
    """What decides between an available pod and the others.

    Attributes:
        sort_key: sorts the pods.
        links: its links in all routes to the workload.
        added: the links that were added since its report; all links without fresh load.
        load: its reported load, in thousandths; None if it is not fresh.
        is_stale: whether it has reported, but not lately.
        has_room: whether it may have another link.
    """

    sort_key: _SortKey
    links: int
    added: int
    load: int | None
    is_stale: bool
    has_room: bool


@dataclass(frozen=True, slots=True)
class Ranking:
    """How the pods that may take new users are compared.

    Attributes:
        are_withheld: whether they are those whose loss is withheld, because there are no others.
        are_silent: whether those that have not reported lately take no new users.
        is_by_load: whether their expected loads are compared; otherwise, their links are.
    """

    are_withheld: bool
    are_silent: bool
    is_by_load: bool


@dataclass(slots=True)
class _SameLoad:
    """The pods of a group that have reported the same load."""

    by_key: list[_SortKey] = field(default_factory=list)
    by_links: list[tuple[int, _SortKey]] = field(default_factory=list)


@dataclass(slots=True)
class _Group:
    """The pods with room to which the same number of links was added."""

    loads: list[int] = field(default_factory=list)
    pods: dict[int, _SameLoad] = field(default_factory=dict)

    def up_to(self, limit: float) -> Iterator[_SameLoad]:
        """Yields the pods with at most this load, those with the lowest load first."""
        for load in self.loads:
            if load > limit:
                return
            yield self.pods[load]


class _Candidates:
    """The available pods, by what decides between them."""

    def __init__(self) -> None:
        self._groups: dict[int, _Group] = {}
        """The pods with fresh load and room by the number of added links."""
        self._added: list[int] = []
        """The keys of the groups, sorted."""
        self._stale: list[tuple[int, _SortKey]] = []
        self._new: list[tuple[int, _SortKey]] = []
        """The pods with room that have not reported lately, and those that have never reported; by their links."""
        self.stale_keys: list[_SortKey] = []
        """All pods that have not reported lately."""
        self.other_keys: list[_SortKey] = []
        """All other pods."""
        self._fresh_count = self._load_sum = self._link_sum = 0
        """How many pods have fresh load, and the sums of their loads and of their links at the reports."""

    def __len__(self) -> int:
        return len(self.stale_keys) + len(self.other_keys)

    def add(self, pod: Candidate) -> None:
        """Adds a pod."""
        insort(self.stale_keys if pod.is_stale else self.other_keys, pod.sort_key)
        self._count(pod, 1)
        if not pod.has_room:
            return
        if pod.load is None:
            insort(self._stale if pod.is_stale else self._new, (pod.links, pod.sort_key))
            return
        if (group := self._groups.get(pod.added)) is None:
            group = self._groups[pod.added] = _Group()
            insort(self._added, pod.added)
        if (same := group.pods.get(pod.load)) is None:
            same = group.pods[pod.load] = _SameLoad()
            insort(group.loads, pod.load)
        insort(same.by_key, pod.sort_key)
        insort(same.by_links, (pod.links, pod.sort_key))

    def remove(self, pod: Candidate) -> None:
        """Removes a pod that was added."""
        _remove(self.stale_keys if pod.is_stale else self.other_keys, pod.sort_key)
        self._count(pod, -1)
        if not pod.has_room:
            return
        if pod.load is None:
            _remove(self._stale if pod.is_stale else self._new, (pod.links, pod.sort_key))
            return
        group = self._groups[pod.added]
        same = group.pods[pod.load]
        _remove(same.by_key, pod.sort_key)
        _remove(same.by_links, (pod.links, pod.sort_key))
        if not same.by_key:
            del group.pods[pod.load]
            _remove(group.loads, pod.load)
        if not group.loads:
            del self._groups[pod.added]
            _remove(self._added, pod.added)

    def is_silence_assumed(self, min_fresh_percent: int) -> bool:
        """Returns whether the pods that have not reported lately take no new users."""
        return is_silence_assumed(self._fresh_count, len(self.stale_keys), min_fresh_percent)

    def can_compare(self, *, are_silent: bool) -> bool:
        """Returns whether the loads of pods can be compared: by estimates, or because all are reported."""
        if self._load_sum and self._link_sum:
            return True
        return self._fresh_count == len(self.other_keys) and (are_silent or not self.stale_keys)

    def share(self, added: int) -> int:
        """Returns the expected load of links that were added: as much as the average link had at the reports."""
        return added * self._load_sum // self._link_sum if self._link_sum else 0

    def best(self, min_fresh_percent: int, load_range: int) -> _SortKey | None:
        """Returns the pod that the next user is placed on; None if no pod has room."""
        are_silent = self.is_silence_assumed(min_fresh_percent)
        unreported = min((pods[0] for pods in (self._new, [] if are_silent else self._stale) if pods), default=None)
        limit: float = float("inf")
        if self.can_compare(are_silent=are_silent):
            lowest = [self._groups[added].loads[0] + self.share(added) for added in self._added]
            if unreported is not None:
                lowest.append(self.share(unreported[0]))
            limit = min(lowest, default=0) + load_range
        if unreported is not None and self.share(unreported[0]) <= limit:
            return self._fewest_links(unreported, limit)
        for added in self._added:
            same_loads = self._groups[added].up_to(limit - self.share(added))
            if (first := min((same.by_key[0] for same in same_loads), default=None)) is not None:
                return first
        return None

    def _fewest_links(self, unreported: tuple[int, _SortKey], limit: float) -> _SortKey:
        """Returns the pod with the fewest links: reports of only some pods do not tell which links are new."""
        firsts = (
            same.by_links[0] for added in self._added for same in self._groups[added].up_to(limit - self.share(added))
        )
        return min((unreported, *firsts))[1]

    def _count(self, pod: Candidate, number: int) -> None:
        if pod.load is not None:
            self._fresh_count += number
            self._load_sum += number * pod.load
            self._link_sum += number * (pod.links - pod.added)


class PlacementIndex:
    """The pods of a route's latest view, by what decides where the next user goes.

    Args:
        view: the latest view.
        now: the current time.
    """

    def __init__(self, view: RouteView, now: datetime) -> None:
        self._view = view
        self._fresh = FreshLoads(view.loads, view.route.spec.load.stale_after_seconds, now)
        self._changed: set[PodKey] = set(view.pods)
        """The pods that have changed since the last choice."""
        self._available, self._withheld = _Candidates(), _Candidates()
        """The available pods; and those of them whose loss is withheld."""
        self._unavailable: dict[Reason, list[_SortKey]] = {}
        self._placements: dict[PodKey, tuple[_Candidates, Candidate] | tuple[list[_SortKey], _SortKey]] = {}
        """Where each pod is."""
        self._followed: set[PodKey] | None = None

    def follow(self) -> set[PodKey]:
        """Returns a set to which all pods are added that change from now on, in place of one that was returned before.

        A choice adds them; so do pods of links that do not exist.
        """
        self._followed = set()
        return self._followed

    def update(self, view: RouteView, changed: Iterable[PodKey] = ()) -> None:
        """Handles the latest view, and the pods that differ in it."""
        self._view = view
        self._changed.update(changed)

    def pod_changed(self, key: PodKey) -> None:
        """Handles a pod whose links or load have changed."""
        self._changed.add(key)

    def is_of(self, view: RouteView) -> bool:
        """Returns whether a view is the latest one."""
        return view is self._view

    def best_pod(self, now: datetime) -> PodView | None:
        """Returns the pod that the next user is placed on; None if no pod takes new users."""
        self._refresh(now)
        spec = self._view.route.spec
        best = self._candidates.best(spec.load.min_fresh_percent, spec.placement.range * MILLI)
        return None if best is None else self._pod(best)

    def ranking(self) -> Ranking:
        """Returns how pods were compared by the last choice."""
        candidates = self._candidates
        are_silent = candidates.is_silence_assumed(self._view.route.spec.load.min_fresh_percent)
        return Ranking(candidates is self._withheld, are_silent, candidates.can_compare(are_silent=are_silent))

    def candidate(self, key: PodKey) -> Candidate | None:
        """Returns a pod that was compared by the last choice, or is silent or full; None if it takes no new users."""
        match self._placements.get(key):
            case (_Candidates() as candidates, candidate) if candidates is self._candidates:
                return candidate
        return None

    def share(self, added: int) -> int:
        """Returns the expected load of links that were added, at the last choice."""
        return self._candidates.share(added)

    def has_available_pod(self, now: datetime) -> bool:
        """Returns whether a pod accepts new users, or would if it had room."""
        self._refresh(now)
        return bool(self._candidates)

    def reasons(self, now: datetime) -> Sequence[NamedReason]:
        """Returns why the pods take no new users if `best_pod` is None, each reason with the first pods."""
        self._refresh(now)
        spec, candidates = self._view.route.spec, self._candidates
        groups: dict[Reason, list[list[_SortKey]]] = {reason: [keys] for reason, keys in self._unavailable.items()}
        if candidates is self._available:
            self._add_withheld(groups)
        are_silent = candidates.is_silence_assumed(spec.load.min_fresh_percent)
        for reason, keys in (
            (full_reason(self._view), candidates.other_keys),
            (silent_reason(self._view) if are_silent else full_reason(self._view), candidates.stale_keys),
        ):
            groups.setdefault(reason, []).append(keys)
        firsts = {reason: list(islice(merge(*lists), MAX_NAMED_PODS + 1)) for reason, lists in groups.items()}
        ordered = sorted((keys, reason) for reason, keys in firsts.items() if keys)
        return [
            NamedReason(reason, [self._pod(key).pod.name for key in keys[:MAX_NAMED_PODS]], len(keys) > MAX_NAMED_PODS)
            for keys, reason in ordered
        ]

    @property
    def _candidates(self) -> _Candidates:
        """The pods that users are placed on: those whose loss is withheld only if there are no others."""
        return self._available or self._withheld

    def _add_withheld(self, groups: dict[Reason, list[list[_SortKey]]]) -> None:
        """Adds the reasons of the available pods whose loss is withheld; a loss of many is rare and short."""
        by_reason: dict[Reason, list[_SortKey]] = {}
        for key in merge(self._withheld.stale_keys, self._withheld.other_keys):
            by_reason.setdefault(unavailable_reason(self._view, self._pod(key)), []).append(key)
        for reason, keys in by_reason.items():
            groups.setdefault(reason, []).append(keys)

    def _pod(self, sort_key: _SortKey) -> PodView:
        index, name = sort_key
        return self._view.pods[name or index]

    def _refresh(self, now: datetime) -> None:
        """Sorts the pods in again that have changed since the last choice, also by the time that has passed."""
        stale: AbstractSet[PodKey] = self._fresh.advance(now)
        if stale:
            self._changed |= stale
        for key in self._changed:
            self._remove(key)
            self._fresh.update(key)
            if (pod := self._view.pods.get(key)) is not None:
                self._add(pod)
        if self._followed is not None:
            self._followed |= self._changed
        self._changed.clear()

    def _remove(self, key: PodKey) -> None:
        match self._placements.pop(key, None):
            case (_Candidates() as candidates, candidate):
                candidates.remove(candidate)
            case (list() as keys, sort_key):
                _remove(keys, sort_key)

    def _add(self, pod: PodView) -> None:
        view, key = self._view, pod.key
        if not pod.is_available or key in view.lost:
            keys = self._unavailable.setdefault(unavailable_reason(view, pod), [])
            sort_key = pod_sort_key(key)
            insort(keys, sort_key)
            self._placements[key] = keys, sort_key
            return
        candidates = self._withheld if key in view.withheld_losses else self._available
        candidate = self._candidate(pod)
        candidates.add(candidate)
        self._placements[key] = candidates, candidate

    def _candidate(self, pod: PodView) -> Candidate:
        view, key = self._view, pod.key
        links, load = view.total_link_count(key), view.loads.get(key)
        is_fresh = load is not None and key in self._fresh
        return Candidate(
            pod_sort_key(key),
            links,
            links - load.links_at_report if load is not None and is_fresh else links,
            load.weighted_milli(view.route.spec.load.cpu_factor_percent) if load is not None and is_fresh else None,
            load is not None and not is_fresh,
            has_room(view, pod),
        )
