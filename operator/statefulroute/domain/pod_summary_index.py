"""Summarizes the pods of a route with any number of pods: the rule of `pod_summary`, updated pod by pod."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from itertools import islice
from operator import add, sub
from typing import NamedTuple, TypeVar

from statefulroute.api.route_status import OmittedPods, PodStatus, StatefulRouteStatus
from statefulroute.api.vocabulary import ServiceState
from statefulroute.domain import listed_pods
from statefulroute.domain.keys import PodKey, pod_sort_key
from statefulroute.domain.load_order import LoadOrder, SortKey
from statefulroute.domain.milli import MILLI
from statefulroute.domain.placement_index import PlacementIndex, Ranking
from statefulroute.domain.pod_summary import (
    MAX_NAMED_PODS,
    PodSummary,
    StalePods,
    StatusReport,
    UnservedLinks,
    pod_status,
    status_reports,
)
from statefulroute.domain.route import PodFinder, PodView, RouteView

T = TypeVar("T", SortKey, tuple[int, bool, SortKey])


class _Counts(NamedTuple):
    """What is counted: of one pod, or of all."""

    pods: int = 0
    service_ready: int = 0
    ready: int = 0
    routable: int = 0
    available: int = 0
    fresh: int = 0
    """How many of the available ones have fresh load."""
    stale: int = 0
    links: int = 0
    links_to_absent: int = 0
    """The links to pods that do not exist."""
    unserved_links: int = 0

    def plus(self, other: "_Counts") -> "_Counts":
        """Returns the sums."""
        return _Counts(*map(add, self, other))

    def minus(self, other: "_Counts") -> "_Counts":
        """Returns the differences."""
        return _Counts(*map(sub, self, other))


class _Pod(NamedTuple):
    """What the summary depends on of a pod, or of the links to a pod that does not exist.

    Attributes:
        sort_key: sorts the pods.
        name: its name; None if it does not exist.
        counts: what it adds to the counts.
        is_stale: whether it serves users and has no fresh load.
        was_listed: whether the status of the route lists it.
        rank: how important it is to list it; 0 if it is as other pods are.
        order: its links and its load in the order of loads; None if it may not have new users.
    """

    sort_key: SortKey
    name: str | None
    counts: _Counts
    is_stale: bool = False
    was_listed: bool = False
    rank: int = 0
    order: tuple[int, int] | None = None


class PodSummaryIndex:
    """The pods of a route, by what its status shows of them.

    Args:
        view: the latest view of the route.
        index: the index of the same pods that chooses the pod for a new user.
    """

    def __init__(self, view: RouteView, index: PlacementIndex) -> None:
        self._view = view
        self._index = index
        self._changed = index.follow()
        """The pods that have changed since the last summary."""
        self._changed.update(view.pods, view.link_counts)
        self._drained = listed_pods.drained_pods(view.route.spec)
        self._ranking: Ranking | None = None
        self._status: StatefulRouteStatus | None = None
        self._previous: Mapping[str, StatusReport] = {}
        """The reports of the pods that the status of the route lists."""
        self._pods: dict[PodKey, _Pod] = {}
        self._keys: dict[str, PodKey] = {}
        """The keys of the pods by name."""
        self._name_lengths: Counter[int] = Counter()
        self._counts = _Counts()
        self._unserved: list[SortKey] = []
        """The pods that have links and do not serve them."""
        self._stale: list[SortKey] = []
        self._notable: list[tuple[int, bool, SortKey]] = []
        """The pods that have a rank: by rank, and by whether they were listed before."""
        self._listed_candidates = LoadOrder()
        self._other_candidates = LoadOrder()
        """The pods that may have new users, and were listed before or were not."""
        self._listed_before: set[PodKey] = set()
        self._candidates_before: set[PodKey] = set()
        """The pods that were listed before, and those of them that may have new users."""
        self._listed: set[PodKey] = set()
        self._listed_keys: list[SortKey] = []
        self._listed_counts = _Counts()
        """The pods that are listed now, also sorted, and what is counted of them."""
        self._statuses: dict[SortKey, PodStatus] = {}
        """The statuses of the pods that are listed now."""

    def is_of(self, index: PodFinder) -> bool:
        """Returns whether the pods are those of an index."""
        return self._index is index

    def summarize(self, view: RouteView, now: datetime) -> PodSummary:
        """Returns the summary of the pods.

        Args:
            view: the latest view of the route.
            now: the current time.
        """
        self._view = view
        best = self._index.best_pod(now)
        self._observe_status(view.route.status)
        if (ranking := self._index.ranking()) != self._ranking:
            self._ranking = ranking
            self._changed.update(self._pods)
        for key in self._changed:
            self._update(key, now)
        self._changed.clear()
        self._list(self._choose_listed(best), now)
        counts = self._counts
        return PodSummary(
            service_ready=counts.service_ready,
            routable=counts.routable,
            links=counts.links + counts.links_to_absent,
            unserved=self._unserved_links(),
            stale=self._stale_pods(),
            best=best,
            listed=tuple(map(self._statuses.__getitem__, self._listed_keys)),
            omitted=self._omitted(),
        )

    def _observe_status(self, status: StatefulRouteStatus) -> None:
        """Handles the status of the route: the pods differ that it did not list before, or with another report."""
        if status is self._status:
            return
        former, self._previous, self._status = self._previous, status_reports(status), status
        if former == self._previous:
            return
        for name in former.keys() | self._previous.keys():
            if former.get(name) != self._previous.get(name) and (key := self._keys.get(name)) is not None:
                self._changed.add(key)

    def _update(self, key: PodKey, now: datetime) -> None:
        """Replaces what is known of a pod."""
        if (old := self._pods.pop(key, None)) is not None:
            self._remove(key, old)
        if (new := self._observe(key, now)) is not None:
            self._pods[key] = new
            self._add(key, new)

    def _observe(self, key: PodKey, now: datetime) -> _Pod | None:
        """Returns what is known of a pod; None if it does not exist and has no links."""
        view, pod, links = self._view, self._view.pods.get(key), self._view.link_count(key)
        if pod is None:
            counts = _Counts(links_to_absent=links, unserved_links=links)
            return _Pod(pod_sort_key(key), None, counts) if links else None
        is_fresh = view.fresh_load(key, now) is not None
        is_available = pod.is_available and key not in view.lost
        counts = _Counts(
            pods=1,
            service_ready=pod.pod.service_state is ServiceState.READY,
            ready=pod.pod.is_ready,
            routable=pod.is_routable,
            available=is_available,
            fresh=is_available and is_fresh,
            stale=is_available and not is_fresh and key in view.loads,
            links=links,
            unserved_links=0 if pod.is_routable else links,
        )
        return _Pod(
            pod_sort_key(key),
            pod.pod.name,
            counts,
            is_stale=pod.is_routable and not is_fresh,
            was_listed=pod.pod.name in self._previous,
            rank=listed_pods.listing_rank(view, pod, now, self._drained),
            order=self._order(key),
        )

    def _order(self, key: PodKey) -> tuple[int, int] | None:
        candidate, ranking = self._index.candidate(key), self._ranking
        if candidate is None or ranking is None or not candidate.has_room:
            return None
        if candidate.is_stale and ranking.are_silent:
            return None
        if not ranking.is_by_load:
            return candidate.links, 0
        return candidate.added, candidate.load or 0

    def _add(self, key: PodKey, pod: _Pod) -> None:
        self._counts = self._counts.plus(pod.counts)
        if pod.counts.unserved_links:
            insort(self._unserved, pod.sort_key)
        if pod.name is None:
            return
        self._keys[pod.name] = key
        self._name_lengths[len(pod.name)] += 1
        if pod.is_stale:
            insort(self._stale, pod.sort_key)
        if pod.rank:
            insort(self._notable, (pod.rank, not pod.was_listed, pod.sort_key))
        if pod.was_listed:
            self._listed_before.add(key)
        if pod.order is not None:
            if pod.was_listed:
                self._candidates_before.add(key)
            self._candidates(pod).add(*pod.order, pod.sort_key)

    def _remove(self, key: PodKey, pod: _Pod) -> None:
        """Removes what `_add` has added."""
        self._counts = self._counts.minus(pod.counts)
        if pod.counts.unserved_links:
            _remove(self._unserved, pod.sort_key)
        if pod.name is None:
            return
        self._unlist(key, pod)
        del self._keys[pod.name]
        self._name_lengths[len(pod.name)] -= 1
        if pod.is_stale:
            _remove(self._stale, pod.sort_key)
        if pod.rank:
            _remove(self._notable, (pod.rank, not pod.was_listed, pod.sort_key))
        self._listed_before.discard(key)
        self._candidates_before.discard(key)
        if pod.order is not None:
            self._candidates(pod).remove(*pod.order, pod.sort_key)

    def _candidates(self, pod: _Pod) -> LoadOrder:
        return self._listed_candidates if pod.was_listed else self._other_candidates

    def _choose_listed(self, best: PodView | None) -> AbstractSet[PodKey]:
        """Returns the pods that are listed, as `listed_pods` does."""
        pods = self._view.pods
        places = listed_pods.listed_places(self._view.route.spec, max((+self._name_lengths), default=0))
        if len(pods) <= places:
            return pods.keys()
        chosen: set[PodKey] = set() if best is None else {best.key}
        chosen.update(name or index for _, _, (index, name) in self._notable[: places // 2])
        chosen.update(self._best_others())
        rest = self._candidates_before - chosen
        worst_first = (name or index for _, (index, name) in self._listed_candidates.descending(self._share))
        _keep(chosen, rest, worst_first, places)
        _fill(chosen, (name or index for _, (index, name) in self._other_candidates.ascending(self._share)), places)
        if len(chosen) < places:
            rest = self._listed_before - chosen
            _keep(chosen, rest, sorted(rest, key=pod_sort_key, reverse=True), places)
            _fill(chosen, pods, places)
        return chosen

    def _best_others(self) -> Iterator[PodKey]:
        """Yields those of the best pods for new users that were not listed before.

        Those that were listed stay, because they come first among equal pods, and the worst leave the list first.
        """
        load, better = None, 0
        for number, (expected, (index, name)) in enumerate(self._other_candidates.ascending(self._share)):
            if expected != load:
                load, better = expected, self._listed_candidates.count_up_to(expected, self._share)
            if number + better >= listed_pods.BEST_PODS:
                return
            yield name or index

    def _share(self, links: int) -> int:
        """Returns the expected load of a number of links."""
        return self._index.share(links) if self._ranking is not None and self._ranking.is_by_load else links * MILLI

    def _list(self, listed: AbstractSet[PodKey], now: datetime) -> None:
        """Lists these pods and no others; the status is built of those that have changed, or were not listed."""
        for key in self._listed - listed:
            self._unlist(key, self._pods[key])
        for key in listed - self._listed:
            known, pod = self._pods[key], self._view.pods[key]
            self._listed.add(key)
            insort(self._listed_keys, known.sort_key)
            self._listed_counts = self._listed_counts.plus(known.counts)
            previous = self._previous.get(pod.pod.name)
            self._statuses[known.sort_key] = pod_status(self._view, pod, previous, now)

    def _unlist(self, key: PodKey, pod: _Pod) -> None:
        """Does not list a pod any more, and forgets its status."""
        if key in self._listed:
            self._listed.discard(key)
            _remove(self._listed_keys, pod.sort_key)
            self._listed_counts = self._listed_counts.minus(pod.counts)
            del self._statuses[pod.sort_key]

    def _unserved_links(self) -> UnservedLinks:
        first = (name or index for index, name in self._unserved[:MAX_NAMED_PODS])
        counts = {key: self._view.link_count(key) for key in first}
        return UnservedLinks(self._counts.unserved_links, len(self._unserved), counts)

    def _stale_pods(self) -> StalePods:
        first = [self._pod(sort_key) for sort_key in self._stale[:MAX_NAMED_PODS]]
        return StalePods(len(self._stale), first, {pod.key for pod in first if self._is_silent(pod.key)})

    def _is_silent(self, key: PodKey) -> bool:
        candidate = self._index.candidate(key)
        return self._ranking is not None and self._ranking.are_silent and candidate is not None and candidate.is_stale

    def _omitted(self) -> OmittedPods | None:
        if self._listed_counts.pods == self._counts.pods:
            return None
        omitted = self._counts.minus(self._listed_counts)
        return OmittedPods(
            count=omitted.pods,
            ready=omitted.ready,
            routable=omitted.routable,
            available=omitted.available,
            fresh_load=omitted.fresh,
            stale_load=omitted.stale,
            links=omitted.links,
        )

    def _pod(self, sort_key: SortKey) -> PodView:
        index, name = sort_key
        return self._view.pods[name or index]


def _remove(items: list[T], item: T) -> None:
    """Removes an item from a sorted list."""
    del items[bisect_left(items, item)]


def _keep(chosen: set[PodKey], pods: set[PodKey], worst_first: Iterable[PodKey], places: int) -> None:
    """Chooses pods, and leaves out the worst if there are too many."""
    if (excess := len(pods) - (places - len(chosen))) > 0:
        pods = pods - set(islice((key for key in worst_first if key in pods), excess))
    chosen |= pods


def _fill(chosen: set[PodKey], pods: Iterable[PodKey], places: int) -> None:
    """Chooses pods until there is no place any more."""
    for key in pods:
        if len(chosen) >= places:
            return
        chosen.add(key)
