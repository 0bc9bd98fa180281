"""Chooses the pod for a new user."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from statefulroute.api.disruption import Rollout
from statefulroute.domain.keys import PodKey, pod_sort_key
from statefulroute.domain.load import Load
from statefulroute.domain.milli import MILLI
from statefulroute.domain.route import PodFinder, PodView, RouteView
from statefulroute.domain.workload import Workload

_PERCENT = 100


def available_pods(view: RouteView) -> list[PodView]:
    """Returns the pods that accept new users: ready, not denying new calls, and not lost. They may be full.

    A pod whose loss is withheld is one of them only if all of them are such pods.
    """
    pods = [pod for pod in view.pods.values() if pod.is_available and pod.key not in view.lost]
    return [pod for pod in pods if pod.key not in view.withheld_losses] or pods


def has_tiers(view: RouteView) -> bool:
    """Returns whether new users go to some pods only while others have no room: during a rollout.

    Then all pods are compared for each choice, without an index.
    """
    rollout, workload = view.route.spec.rollout, view.workload
    if rollout is None or rollout.paused or workload is None or not workload.update_revision:
        return False
    return len({_tier(view, workload, rollout, pod) for pod in view.pods.values()}) > 1


def current_index(view: RouteView) -> PodFinder | None:
    """Returns the index of a view, by which a pod is found without a look at all of them; None if it has none."""
    return view.index if view.index is not None and view.index.is_of(view) else None


def has_available_pod(view: RouteView, now: datetime) -> bool:
    """Returns whether a pod accepts new users; it may be full."""
    index = current_index(view)
    return bool(available_pods(view)) if index is None else index.has_available_pod(now)


def has_room(view: RouteView, pod: PodView) -> bool:
    """Returns whether the pod may have another link."""
    limit = view.route.spec.placement.max_links_per_pod
    return not limit or view.total_link_count(pod.key) < limit


def silent_pods(view: RouteView, now: datetime) -> frozenset[PodKey]:
    """Returns the available pods that no longer report their load. They take no new users: they may be hanging.

    This is only assumed while enough pods report: at least `load.minFreshPercent` of the available pods that ever
    have. If fewer do, the reports fail and not the pods. A pod that has never reported is not silent.
    """
    pods = available_pods(view)
    return _silent_pods(view, pods, _fresh_loads(view, pods, now))


def is_silence_assumed(fresh: int, stale: int, min_fresh_percent: int) -> bool:
    """Returns whether pods that have stopped to report are assumed to hang: enough other pods report.

    Args:
        fresh: how many available pods have fresh load.
        stale: how many available pods have reported, but not lately.
        min_fresh_percent: how many of them all have to report, in percent.
    """
    return bool(fresh) and fresh * _PERCENT >= min_fresh_percent * (fresh + stale)


def expected_loads(view: RouteView, now: datetime) -> dict[PodKey, int]:
    """Estimates the current weighted load, in thousandths, of each pod that may take new users.

    Until a pod reports again, each link added or removed since the report counts as much as the average link of the
    pods with fresh load did at their reports. Otherwise all users who arrive between two reports would be placed on the
    pod with the lowest load. All links of a pod without fresh load count that much.

    If the pods had no load or no links at their reports, no estimate is possible. Then these are the reported loads;
    if a pod has no fresh load, the result is empty, and only the links can be compared.
    """
    candidates, fresh = _candidates(view, now)
    return _expected_loads(view, candidates, fresh)


def candidate_loads(view: RouteView, now: datetime) -> dict[PodKey, int]:
    """Returns the expected load of each pod that may take new users and has room.

    If the loads cannot be compared, it is the number of links, in thousandths.
    """
    candidates, fresh = _candidates(view, now)
    expected = _expected_loads(view, candidates, fresh)
    return {
        pod.key: expected[pod.key] if expected else view.total_link_count(pod.key) * MILLI
        for pod in candidates
        if has_room(view, pod)
    }


def good_set(view: RouteView, now: datetime) -> list[PodView]:
    """Returns the pods that share the new users: those whose load exceeds the lowest by at most `placement.range`.

    Silent pods are excluded, even if all other pods are full. If no load can be compared, all available pods with room
    are in the set.
    """
    return _good_set(view, *_candidates(view, now))


def best_pod(view: RouteView, now: datetime) -> PodView | None:
    """Returns the pod of the good set with the fewest links added since its report; None if the set is empty.

    If one of these pods has no fresh load, this is the pod with the fewest links. Of equal pods, it is the first.
    """
    if (index := current_index(view)) is not None:
        return index.best_pod(now)
    candidates, fresh = _candidates(view, now)
    candidates = _first_tier(view, candidates)
    pods = _good_set(view, candidates, fresh)
    by_links = any(pod.key not in fresh for pod in pods)

    def rank(pod: PodView) -> tuple[int, tuple[int, str]]:
        counted = 0 if by_links else fresh[pod.key].links_at_report
        return view.total_link_count(pod.key) - counted, pod_sort_key(pod.key)

    return min(pods, key=rank, default=None)


def pods_for_new_users(view: RouteView, now: datetime) -> Sequence[PodView]:
    """Returns the pods that may take new users now, and during a rollout only those that new users go to first."""
    return _first_tier(view, _candidates(view, now)[0])


def _first_tier(view: RouteView, candidates: Sequence[PodView]) -> Sequence[PodView]:
    """Returns the pods that new users go to during a rollout, if one of them has room."""
    rollout, workload = view.route.spec.rollout, view.workload
    if rollout is None or workload is None or not has_tiers(view):
        return candidates
    tiers: dict[int, list[PodView]] = {}
    for pod in candidates:
        tiers.setdefault(_tier(view, workload, rollout, pod), []).append(pod)
    with_room = (pods for _, pods in sorted(tiers.items()) if any(has_room(view, pod) for pod in pods))
    return next(with_room, candidates)


def _tier(view: RouteView, workload: Workload, rollout: Rollout, pod: PodView) -> int:
    """Returns when new users go to a pod during a rollout.

    First are the pods that stay as they are; then those of a surge, because they are removed at the end; and last those
    of older revisions, because they are replaced.
    """
    first, replicas = workload.first_index or 0, view.route.spec.replicas
    if pod.index is None or pod.index < first + rollout.partition:
        return 0
    if pod.pod.revision != workload.update_revision:
        return 2
    return 1 if replicas is not None and pod.index >= first + replicas else 0


def _candidates(view: RouteView, now: datetime) -> tuple[Sequence[PodView], Mapping[PodKey, Load]]:
    """Returns the pods that may take new users if they have room, and the load of those whose load is fresh."""
    pods = available_pods(view)
    fresh = _fresh_loads(view, pods, now)
    silent = _silent_pods(view, pods, fresh)
    return [pod for pod in pods if pod.key not in silent] if silent else pods, fresh


def _fresh_loads(view: RouteView, pods: Iterable[PodView], now: datetime) -> dict[PodKey, Load]:
    return {pod.key: load for pod in pods if (load := view.fresh_load(pod.key, now)) is not None}


def _silent_pods(view: RouteView, pods: Iterable[PodView], fresh: Mapping[PodKey, Load]) -> frozenset[PodKey]:
    stale = frozenset(pod.key for pod in pods if pod.key in view.loads and pod.key not in fresh)
    min_fresh_percent = view.route.spec.load.min_fresh_percent
    return stale if is_silence_assumed(len(fresh), len(stale), min_fresh_percent) else frozenset()


def _expected_loads(view: RouteView, candidates: Sequence[PodView], fresh: Mapping[PodKey, Load]) -> dict[PodKey, int]:
    factor = view.route.spec.load.cpu_factor_percent
    reported = {key: load.weighted_milli(factor) for key, load in fresh.items()}
    links, total = sum(load.links_at_report for load in fresh.values()), sum(reported.values())
    if not links or not total:
        return reported if len(fresh) == len(candidates) else {}
    expected = {}
    for pod in candidates:
        load = fresh.get(pod.key)
        counted = load.links_at_report if load else 0
        expected[pod.key] = reported.get(pod.key, 0) + (view.total_link_count(pod.key) - counted) * total // links
    return expected


def _good_set(view: RouteView, candidates: Sequence[PodView], fresh: Mapping[PodKey, Load]) -> list[PodView]:
    with_room = [pod for pod in candidates if has_room(view, pod)]
    expected = _expected_loads(view, candidates, fresh)
    if not expected:
        return with_room
    limit = min((expected[pod.key] for pod in with_room), default=0) + view.route.spec.placement.range * MILLI
    return [pod for pod in with_room if expected[pod.key] <= limit]
