"""The state of a service as its clients see it: from the status of the route."""

from collections.abc import Callable, Container, Mapping
from datetime import datetime, timedelta

from statefulroute.api.statefulroute import PodStatus
from statefulroute.api.vocabulary import RoutingState, ServiceState, WorkloadState
from statefulroute.domain.errors import PodNotFoundError
from statefulroute.domain.keys import PodKey
from statefulroute.domain.load import Load, LoadReport
from statefulroute.domain.placement import best_pod
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import PodView, Route, RouteView

#: The workload states of services that are too busy for more users.
_BUSY_STATES = (WorkloadState.OVERLOADED, WorkloadState.SHUTDOWN)


#: A condition on the status of a pod.
PodPredicate = Callable[[PodStatus], bool]


def pod_key(pod: PodStatus) -> PodKey:
    """Returns the key by which links refer to a pod."""
    return pod.name if pod.index is None else pod.index


def is_ready(pod: PodStatus) -> bool:
    """Returns whether the pod is ready."""
    return pod.service_state is ServiceState.READY


def is_routable(pod: PodStatus) -> bool:
    """Returns whether the pod serves its users: ready and not shut down."""
    return is_ready(pod) and pod.routing_state is not RoutingState.SHUTDOWN


def is_available(pod: PodStatus) -> bool:
    """Returns whether the pod accepts new users: ready, and its routing state is Ready."""
    return is_ready(pod) and pod.routing_state is RoutingState.READY


def is_workload_ready(route: Route) -> bool:
    """Returns whether a pod of the service is available, and the service is neither overloaded nor shut down."""
    status = route.status
    return status.workload_state not in _BUSY_STATES and any(is_available(pod) for pod in status.pods)


def total_links(pod: PodStatus) -> int:
    """Returns the number of links of the pod in all routes to its workload."""
    return pod.links if pod.total_links is None else pod.total_links


def find_pod(route: Route, pod: PodKey) -> PodStatus:
    """Returns the status of a pod of a service.

    Raises:
        PodNotFoundError: the service has no such pod.
    """
    status = next((status for status in route.status.pods if pod_key(status) == pod), None)
    if status is None:
        raise PodNotFoundError(f"the service {route.name!r} has no pod {pod!r} now")
    return status


def choose_pod(
    route: Route, assumed: Mapping[PodKey, int], now: datetime, candidates: Container[PodKey] | None = None
) -> PodKey | None:
    """Returns the pod for the next user, by the placement rule of the operator; None if no pod is available.

    Args:
        route: the service.
        assumed: the number of links that the caller bound to each pod since the status was written.
        now: the current time.
        candidates: the pods to choose from; None allows all.
    """
    best = best_pod(_route_view(route, assumed, now, candidates), now)
    return best.key if best else None


def _route_view(
    route: Route, assumed: Mapping[PodKey, int], now: datetime, candidates: Container[PodKey] | None
) -> RouteView:
    """Builds the view of a route from its status."""
    pods: dict[PodKey, PodView] = {}
    loads: dict[PodKey, Load] = {}
    counts: dict[PodKey, int] = {}
    stale_age = timedelta(seconds=route.spec.load.stale_after_seconds + 1)
    for status in route.status.pods:
        key = pod_key(status)
        if candidates is not None and key not in candidates:
            continue
        pod = Pod(
            namespace=route.namespace,
            name=status.name,
            resource_version=route.resource_version,
            service_state=status.service_state,
            is_ready=is_ready(status),
            index=status.index,
        )
        pods[key] = PodView(pod, key, status.routing_state, None)
        counts[key] = total_links(status) + assumed.get(key, 0)
        if status.load_state is not None:
            links_at_report = total_links(status) - (status.new_links or 0)
            time = now - stale_age if status.load_stale else now
            loads[key] = Load(LoadReport(status.load_state, status.waiting_tasks or 0, time), links_at_report)
    return RouteView(route, None, None, pods, counts, loads)
