"""Which pod takes a new user."""

from datetime import datetime

from statefulroute.domain.keys import PodKey, pod_sort_key
from statefulroute.domain.load import MILLI
from statefulroute.domain.route import PodView, RouteView


def available_pods(view: RouteView) -> list[PodView]:
    """The pods that take new users: ready, not denying, not lost; whether they are full is another question."""
    return [pod for pod in view.pods.values() if pod.is_available and pod.key not in view.lost]


def has_room(view: RouteView, pod: PodView) -> bool:
    """Whether the pod may carry one link more."""
    most = view.route.spec.placement.max_links_per_pod
    return not most or view.link_count(pod.key) < most


def expected_loads(view: RouteView, now: datetime) -> dict[PodKey, int]:
    """The weighted load, in thousandths, that each available pod of fresh load is expected to have by now.

    Until a pod reports again, each link that has come or gone since counts as much as a link of these pods did on
    the average when they reported: else all users who come between two reports would go to the one pod that was
    the least loaded. Where they had no links, there is nothing to expect by, and the reports stand.
    """
    factor = view.route.spec.load.cpu_factor_percent
    fresh = {pod.key: load for pod in available_pods(view) if (load := view.fresh_load(pod.key, now)) is not None}
    reported = {key: load.weighted_milli(factor) for key, load in fresh.items()}
    links = sum(load.links_at_report for load in fresh.values())
    if not links:
        return reported
    total = sum(reported.values())
    return {
        key: reported[key] + (view.link_count(key) - load.links_at_report) * total // links
        for key, load in fresh.items()
    }


def good_set(view: RouteView, now: datetime) -> list[PodView]:
    """The pods that share the new users: the best one, and those whose load is within `placement.range` of it.

    A pod without fresh load is none of them while one has it, even if that one is full: it may be hanging. Where no
    load is fresh, all available pods with room are.
    """
    with_room = [pod for pod in available_pods(view) if has_room(view, pod)]
    expected = expected_loads(view, now)
    if not expected:
        return with_room
    loads = {pod.key: expected[pod.key] for pod in with_room if pod.key in expected}
    most = min(loads.values(), default=0) + view.route.spec.placement.range * MILLI
    return [pod for pod in with_room if pod.key in loads and loads[pod.key] <= most]


def best_pod(view: RouteView, now: datetime) -> PodView | None:
    """The pod of the good set that has got the fewest links since its load was reported; None when there is none.

    Where no load is fresh, it is the pod that carries the fewest links. Among equals it is the first.
    """

    def turn(pod: PodView) -> tuple[int, tuple[int, str]]:
        load = view.fresh_load(pod.key, now)
        return view.link_count(pod.key) - (load.links_at_report if load else 0), pod_sort_key(pod.key)

    return min(good_set(view, now), key=turn, default=None)
