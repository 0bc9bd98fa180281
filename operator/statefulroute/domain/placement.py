"""Chooses the pod for a new user."""

from datetime import datetime

from statefulroute.domain.keys import PodKey, pod_sort_key
from statefulroute.domain.load import MILLI
from statefulroute.domain.route import PodView, RouteView


def available_pods(view: RouteView) -> list[PodView]:
    """Returns the pods that accept new users: ready, not denying new calls, and not lost. They may be full."""
    return [pod for pod in view.pods.values() if pod.is_available and pod.key not in view.lost]


def has_room(view: RouteView, pod: PodView) -> bool:
    """Returns whether the pod may have another link."""
    limit = view.route.spec.placement.max_links_per_pod
    return not limit or view.total_link_count(pod.key) < limit


def expected_loads(view: RouteView, now: datetime) -> dict[PodKey, int]:
    """Estimates the current weighted load, in thousandths, of each available pod with fresh load.

    Until a pod reports again, each link added or removed since the report counts as much as the average link of these
    pods did at the report. Otherwise all users who arrive between two reports would be placed on the pod with the
    lowest load. If the pods had no links at the report, no estimate is possible, and the reported loads are used.
    """
    factor = view.route.spec.load.cpu_factor_percent
    fresh = {pod.key: load for pod in available_pods(view) if (load := view.fresh_load(pod.key, now)) is not None}
    reported = {key: load.weighted_milli(factor) for key, load in fresh.items()}
    links = sum(load.links_at_report for load in fresh.values())
    if not links:
        return reported
    total = sum(reported.values())
    return {
        key: reported[key] + (view.total_link_count(key) - load.links_at_report) * total // links
        for key, load in fresh.items()
    }


def good_set(view: RouteView, now: datetime) -> list[PodView]:
    """Returns the pods that share the new users: those whose load exceeds the lowest by at most `placement.range`.

    While an available pod has fresh load, even a full one, a pod without fresh load is excluded: it may be hanging. If
    no pod has fresh load, all available pods with room are in the set.
    """
    with_room = [pod for pod in available_pods(view) if has_room(view, pod)]
    expected = expected_loads(view, now)
    if not expected:
        return with_room
    loads = {pod.key: expected[pod.key] for pod in with_room if pod.key in expected}
    limit = min(loads.values(), default=0) + view.route.spec.placement.range * MILLI
    return [pod for pod in with_room if pod.key in loads and loads[pod.key] <= limit]


def best_pod(view: RouteView, now: datetime) -> PodView | None:
    """Returns the pod of the good set with the fewest links added since its report; None if the set is empty.

    If no pod has fresh load, this is the pod with the fewest links. Of equal pods, it is the first.
    """

    def rank(pod: PodView) -> tuple[int, tuple[int, str]]:
        load = view.fresh_load(pod.key, now)
        return view.total_link_count(pod.key) - (load.links_at_report if load else 0), pod_sort_key(pod.key)

    return min(good_set(view, now), key=rank, default=None)
