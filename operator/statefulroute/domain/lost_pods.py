"""Follows the lost pods of a route that have links, from their loss until it is over."""

from collections.abc import Mapping
from datetime import datetime

from statefulroute.api.route_status import LostPodStatus
from statefulroute.api.vocabulary import LossCause
from statefulroute.domain.keys import PodKey
from statefulroute.domain.route import Route, RouteView

LostPods = Mapping[PodKey, LostPodStatus]


def lost_pods_of(route: Route) -> LostPods:
    """Returns the lost pods in the status of a route, by which a new leader knows them."""
    return {pod.name if pod.index is None else pod.index: pod for pod in route.status_lost_pods}


def lost_pod_causes(route: Route) -> Mapping[PodKey, LossCause]:
    """Returns why pods were lost, by the status of their route; without causes of another version."""
    return {key: pod.cause for key, pod in lost_pods_of(route).items() if pod.cause is not LossCause.UNKNOWN}


def follow_lost_pods(view: RouteView, previous: LostPods, now: datetime) -> LostPods:
    """Returns the lost pods that have links: those that were lost before and still are, and new ones.

    A loss is over when the pod serves its users again, or has no links any more. A pod that is absent remains lost
    while its grace period runs again, for example after a restart of the operator.

    Args:
        view: the route.
        previous: the result of the previous call.
        now: the time of day.
    """
    if not view.is_workload_known:
        return previous
    lost = {key: pod for key, pod in previous.items() if view.link_count(key) and not _is_back(view, key)}
    for key, loss in view.lost.items():
        if key not in lost and (links := view.link_count(key)):
            lost[key] = LostPodStatus(
                index=key if isinstance(key, int) else None,
                name=view.pod_name(key),
                cause=loss.cause,
                links=links,
                lost_time=now.replace(microsecond=0),
            )
    return lost


def _is_back(view: RouteView, key: PodKey) -> bool:
    pod = view.pods.get(key)
    return pod is not None and key not in view.lost and pod.is_present and pod.is_routable
