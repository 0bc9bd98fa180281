"""Selects the pods that the status of a route lists, because a status must stay small however many pods a route has."""

from collections.abc import Collection, Container, Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from heapq import nsmallest

from statefulroute.api.limits import (
    LISTED_POD_MAX_BYTES,
    LISTED_PODS_MAX,
    LISTED_PODS_MAX_BYTES,
    LISTED_REVISION_MAX_BYTES,
)
from statefulroute.api.route_status import OmittedPods
from statefulroute.api.statefulroute import StatefulRouteSpec
from statefulroute.api.vocabulary import LoadSource, RoutingState, ServiceState
from statefulroute.domain.keys import PodKey, pod_sort_key
from statefulroute.domain.placement import candidate_loads
from statefulroute.domain.pod_views import most_restrictive
from statefulroute.domain.route import PodView, RouteView

#: The number of best pods for new users that are listed in any case. The other places of pods for new users keep the
#: pods that have them, so that small differences of load do not change the list.
BEST_PODS = 100

_RESTRICTIVE_STATES = (RoutingState.DENY_NEW_CALL, RoutingState.SHUTDOWN)


def listed_pods(view: RouteView, best: PodView | None, now: datetime) -> Sequence[PodView]:
    """Returns the pods that the status of a route lists, in the order of the view: all, unless there are too many.

    Half of the places are for pods whose state clients would not know otherwise, or that need attention. Then come the
    pods for new users, the best first, and then all others. Of equal pods, those that were listed before come first.

    Args:
        view: the route. Its status contains the pods that were listed before.
        best: the pod for the next user.
        now: the current time.
    """
    pods = view.pods
    places = listed_places(view.route.spec, max((len(pod.pod.name) for pod in pods.values()), default=0))
    if len(pods) <= places:
        return tuple(pods.values())
    listed_before = {pod.name for pod in view.route.status.pods}
    chosen = {} if best is None else {best.key: best}
    _fill(chosen, _notable_pods(view, listed_before, now, places // 2), places)
    _fill(chosen, _candidates(view, listed_before, now, places), places)
    if len(chosen) < places:
        _fill(chosen, sorted(pods.values(), key=lambda pod: pod.pod.name not in listed_before), places)
    return tuple(pod for key, pod in pods.items() if key in chosen)


def omitted_pods(view: RouteView, listed: Collection[PodView], now: datetime) -> OmittedPods | None:
    """Returns the counts of the pods that are not listed; None if all are."""
    if len(listed) == len(view.pods):
        return None
    keys = {pod.key for pod in listed}
    omitted = [pod for key, pod in view.pods.items() if key not in keys]
    available = [pod.key for pod in omitted if pod.is_available and pod.key not in view.lost]
    fresh = sum(view.fresh_load(key, now) is not None for key in available)
    return OmittedPods(
        count=len(omitted),
        ready=sum(pod.pod.is_ready for pod in omitted),
        routable=sum(pod.is_routable for pod in omitted),
        available=len(available),
        fresh_load=fresh,
        stale_load=sum(key in view.loads for key in available) - fresh,
        links=sum(view.link_count(pod.key) for pod in omitted),
    )


def listed_places(spec: StatefulRouteSpec, longest_name: int) -> int:
    """Returns how many pods can be listed, whatever the values of their fields are.

    Args:
        spec: the spec of the route.
        longest_name: the length of the longest name of a pod.
    """
    revision = 0 if spec.rollout is None else LISTED_REVISION_MAX_BYTES
    return min(LISTED_PODS_MAX, LISTED_PODS_MAX_BYTES // (LISTED_POD_MAX_BYTES + longest_name + revision))


def drained_pods(spec: StatefulRouteSpec) -> AbstractSet[PodKey]:
    """Returns the indexes and the names of the pods that the spec of a route drains."""
    drained: set[PodKey] = {each.index for each in spec.pods if each.routing_state in _RESTRICTIVE_STATES}
    return drained | {each.name for each in spec.named_pods if each.routing_state in _RESTRICTIVE_STATES}


def listing_rank(view: RouteView, pod: PodView, now: datetime, drained: Container[PodKey]) -> int:
    """Returns how important it is to list a pod, 1 first; 0 if it is as other pods are.

    Args:
        view: the route.
        pod: the pod.
        now: the current time.
        drained: the pods that the spec of the route drains.
    """
    spec, has_users = view.route.spec, view.total_link_count(pod.key) > 0
    is_terminating = pod.pod.service_state is ServiceState.TERMINATING
    if pod.key in view.closing:
        return 1  # it is removed only after it was listed
    if is_terminating and not has_users and not pod.is_on_lost_node:
        return 1  # its server waits until it is listed without users; then it ends and leaves its place
    load = view.loads.get(pod.key) if spec.load.source is LoadSource.HTTP else None
    # The operator alone knows what a pod answered, and that it does not answer any more.
    if load and (load.routing_state in _RESTRICTIVE_STATES or view.fresh_load(pod.key, now) is None):
        return 2
    is_drained = pod.index in drained or pod.pod.name in drained
    is_drained = is_drained or is_terminating or pod.pod.reported_routing_state in _RESTRICTIVE_STATES
    if is_drained or pod.routing_state is not most_restrictive(spec.routing_state):
        return 4 if has_users else 3
    if not pod.is_routable:
        return 5
    limit = spec.placement.max_links_per_pod
    return 6 if limit and view.total_link_count(pod.key) > limit else 0


def _fill(chosen: dict[PodKey, PodView], pods: Iterable[PodView], places: int) -> None:
    for pod in pods:
        if len(chosen) >= places:
            return
        chosen.setdefault(pod.key, pod)


def _notable_pods(view: RouteView, listed_before: Container[str], now: datetime, places: int) -> Sequence[PodView]:
    """Returns the pods whose state clients would not know if they were not listed, and those that need attention."""
    drained = drained_pods(view.route.spec)
    ranks = ((listing_rank(view, pod, now, drained), pod) for pod in view.pods.values())
    notable = [(rank, pod.pod.name not in listed_before, pod_sort_key(pod.key), pod) for rank, pod in ranks if rank]
    return [pod for *_, pod in nsmallest(places, notable, key=lambda each: each[:3])]


def _candidates(view: RouteView, listed_before: Container[str], now: datetime, places: int) -> Sequence[PodView]:
    """Returns the pods that may take new users: the best ones, then those that were listed before, then the others."""
    by_load = {
        key: (load, view.pods[key].pod.name not in listed_before, pod_sort_key(key))
        for key, load in candidate_loads(view, now).items()
    }
    best = nsmallest(BEST_PODS, by_load, key=by_load.__getitem__)
    others = by_load.keys() - set(best)
    by_listing = nsmallest(places, others, key=lambda key: (by_load[key][1], by_load[key]))
    return [view.pods[key] for key in (*best, *by_listing)]
